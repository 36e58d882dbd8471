# What every monolith does now and then.
class TroubleController < ApplicationController
  # `/slow?ms=250`
  def slow
    sleep(params.fetch(:ms, 100).to_i.clamp(0, 600_000) / 1000.0)
    render plain: "slow\n"
  end

  def fail
    raise "failed because it was asked to"
  end

  # An application that was set up for nginx or Apache: an empty answer, and a header that says
  # which file the proxy should have sent. `?header=X-Sendfile` for Apache's.
  def sendfile
    header = params[:header] == "X-Sendfile" ? "X-Sendfile" : "X-Accel-Redirect"
    response.headers[header] = "/srv/reports/sales.csv"
    head :ok
  end

  # Two Set-Cookie fields, which nobody may join.
  def cookies_twice
    cookies[:basket] = "1"
    cookies[:table] = "12"
    render plain: "cookies\n"
  end
end
