# Logging in and out, by whom the request says: this application has no passwords.
class SessionsController < ApplicationController
  include UsherIdentity
  skip_forgery_protection

  User = Struct.new(:id)

  # What Rails makes of who asks, and for whom usher took the request.
  def show
    render json: {
      audience: request.headers["X-Audience"], user: session[:user_id],
      usher_identity: cookies[:_usher_identity]
    }
  end

  # `POST /session?user=42&roles=driver,vip`
  def create
    session[:user_id] = params.require(:user)
    remember_for_usher(User.new(session[:user_id]), roles: params.fetch(:roles, "").split(","))
    head :created
  end

  def destroy
    reset_session
    cookies.delete(:_usher_identity)
    head :no_content
  end
end
