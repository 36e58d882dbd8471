module Kitchen
  class MenusController < ApplicationController
    def index
      render json: Menu.order(:id)
    end

    def update
      menu = Menu.find(params[:id])
      menu.update!(params.permit(:price_cents, :available))
      render json: menu
    end
  end
end
