# One dish of a restaurant.
class Menu < ApplicationRecord
  belongs_to :restaurant
  has_many :orders

  scope :available, -> { where(available: true) }
end
