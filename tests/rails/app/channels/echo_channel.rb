# Says back what it is told, and by which pool.
class EchoChannel < ApplicationCable::Channel
  def subscribed
    transmit({ "pool" => ENV.fetch("POOL", "none"), "welcome" => true })
  end

  # `perform("echo", …)`
  def echo(data)
    transmit({ "pool" => ENV.fetch("POOL", "none"), "echo" => data["text"] })
  end
end
