# An order's way to its customer.
class Delivery < ApplicationRecord
  STATUSES = %w[waiting claimed delivered].freeze

  belongs_to :order

  validates :status, inclusion: { in: STATUSES }
end
