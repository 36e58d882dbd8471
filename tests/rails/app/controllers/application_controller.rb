class ApplicationController < ActionController::Base
  protect_from_forgery with: :null_session

  before_action { response.headers["X-Usher-Route"] = "#{controller_path}##{action_name}" }

  rescue_from(ActiveRecord::RecordNotFound) { head :not_found }
  rescue_from(ActionController::ParameterMissing) { head :bad_request }
  rescue_from(ActiveRecord::RecordInvalid) do |error|
    render json: { errors: error.record.errors.full_messages }, status: 422
  end
end
