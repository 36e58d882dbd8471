kitchens = {
  "Napoli" => { "Margherita" => 850, "Marinara" => 750 },
  "Saigon" => { "Pho" => 1_190, "Banh mi" => 690 },
  "Anatolia" => { "Lahmacun" => 590, "Pide" => 890 }
}

kitchens.each do |name, dishes|
  restaurant = Restaurant.create!(name: name)
  dishes.each do |dish, price|
    menu = restaurant.menus.create!(dish: dish, price_cents: price)
    3.times { |n| menu.orders.create!(quantity: n + 1).create_delivery! }
  end
end
