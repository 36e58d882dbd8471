module Admin
  class ReportsController < ApplicationController
    def index
      render json: Report::NAMES.map { |name| { name: name, url: admin_report_path(name) } }
    end

    # `days` makes it larger and slower; 1,000 days are about 200 kB and as many queries.
    def show
      return head :not_found unless Report::NAMES.include?(params[:id])

      days = params.fetch(:days, 1_000).to_i.clamp(1, 100_000)
      # Rack::ETag would otherwise gather the whole report to digest it.
      headers["Last-Modified"] = Time.now.httpdate
      headers["Content-Type"] = "text/csv; charset=utf-8"
      self.response_body = Report.new(name: params[:id], days: days)
    end
  end
end
