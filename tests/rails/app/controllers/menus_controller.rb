class MenusController < ApplicationController
  def index
    @menus = Menu.available.includes(:restaurant).order(:id)
    respond_to do |format|
      format.html
      format.json { render json: @menus.as_json(include: :restaurant) }
    end
  end

  def show
    @menu = Menu.find(params[:id])
    respond_to do |format|
      format.html
      format.json { render json: @menu }
    end
  end
end
