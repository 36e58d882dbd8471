Rails.application.routes.draw do
  get "up", to: "health#show"

  # What Rack sees, below every audience's prefix.
  match "(*prefix)/echo", to: Shop::Echo, via: :all

  # Who asks.
  resource :session, only: %i[show create destroy]

  # Customers.
  root "menus#index"
  resources :menus, only: %i[index show]
  resources :orders, only: %i[index show create]

  # Drivers.
  scope "api/driver", module: "driver" do
    resources :deliveries, only: %i[index show update]
    resource :position, only: %i[show create]
  end

  # Restaurants.
  scope "restaurant", module: "kitchen", as: "restaurant" do
    resources :orders, only: %i[index update]
    resources :menus, only: %i[index update]
  end

  # Admins.
  namespace :admin do
    root "reports#index"
    resources :reports, only: %i[index show]
  end

  # What a proxy must carry well.
  match "bytes/:count", to: Shop::Bytes, via: :all, constraints: { count: /\d+/ }
  post "till/:number", to: Shop::Till
  match "upload", to: Shop::Upload, via: %i[post put patch]
  get "sse", to: "events#show"
  post "sse/push", to: "events#create"
  match "slow", to: "trouble#slow", via: :all
  match "fail", to: "trouble#fail", via: :all
  get "sendfile", to: "trouble#sendfile"
  get "cookies", to: "trouble#cookies_twice"
  get "card", to: redirect("/menus")
end
