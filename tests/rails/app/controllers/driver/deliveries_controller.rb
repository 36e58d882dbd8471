module Driver
  class DeliveriesController < ApplicationController
    def index
      render json: Delivery.where(status: "waiting").order(:id).limit(50)
    end

    def show
      render json: Delivery.find(params[:id]).as_json(include: :order)
    end

    def update
      delivery = Delivery.find(params[:id])
      delivery.update!(params.permit(:driver, :status))
      render json: delivery
    end
  end
end
