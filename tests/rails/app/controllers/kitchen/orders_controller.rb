module Kitchen
  class OrdersController < ApplicationController
    def index
      orders = Order.joins(:menu).where.not(status: "delivered")
      orders = orders.where(menus: { restaurant_id: params[:restaurant_id] }) if params[:restaurant_id]
      render json: orders.order(:id).limit(50)
    end

    def update
      order = Order.find(params[:id])
      order.update!(status: params.require(:status))
      render json: order
    end
  end
end
