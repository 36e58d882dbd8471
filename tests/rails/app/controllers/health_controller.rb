# What a load balancer asks. Says nothing of the database: that it is slow is no reason to take
# every Puma away.
class HealthController < ApplicationController
  def show
    render plain: "up\n"
  end
end
