class OrdersController < ApplicationController
  def index
    render json: Order.order(id: :desc).limit(50)
  end

  def show
    @order = Order.find(params[:id])
    respond_to do |format|
      format.html
      format.json { render json: @order.as_json(include: :delivery) }
    end
  end

  def create
    order = Order.transaction do
      Menu.available.find(params.require(:menu_id)).orders
          .create!(quantity: params.fetch(:quantity, 1)).tap(&:create_delivery!)
    end
    render json: order, status: :created, location: order_path(order)
  end
end
