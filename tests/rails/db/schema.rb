ActiveRecord::Schema.define(version: 1) do
  create_table "restaurants" do |t|
    t.string "name", null: false
  end

  create_table "menus" do |t|
    t.references "restaurant", null: false, foreign_key: true
    t.string "dish", null: false
    t.integer "price_cents", null: false
    t.boolean "available", null: false, default: true
  end

  create_table "orders" do |t|
    t.references "menu", null: false, foreign_key: true
    t.integer "quantity", null: false, default: 1
    t.string "status", null: false, default: "placed"
    t.timestamps
  end

  create_table "deliveries" do |t|
    t.references "order", null: false, foreign_key: true
    t.string "driver"
    t.string "status", null: false, default: "waiting"
    t.timestamps
  end

  create_table "positions" do |t|
    t.string "driver", null: false, index: { unique: true }
    t.float "latitude", null: false
    t.float "longitude", null: false
    t.timestamps
  end
end
