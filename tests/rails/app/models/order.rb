# What a customer asked for. A restaurant accepts it and makes it ready; a driver delivers it.
class Order < ApplicationRecord
  STATUSES = %w[placed accepted ready delivered].freeze

  belongs_to :menu
  has_one :delivery

  validates :quantity, numericality: { only_integer: true, greater_than: 0, less_than: 100 }
  validates :status, inclusion: { in: STATUSES }
end
