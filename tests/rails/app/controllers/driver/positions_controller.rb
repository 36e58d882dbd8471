module Driver
  # The most frequent request of all: a driver's phone says where it is, every few seconds.
  class PositionsController < ApplicationController
    def show
      render json: Position.find_by!(driver: params.require(:driver))
    end

    def create
      position = Position.find_or_initialize_by(driver: params.require(:driver))
      position.update!(params.permit(:latitude, :longitude))
      head :no_content
    end
  end
end
