class Restaurant < ApplicationRecord
  has_many :menus
  has_many :orders, through: :menus
end
