require "puma/plugin"

# Says on standard output where this Puma listens, once it does, and stops it when the one who
# started it has gone.
#
# The line is `ready 127.0.0.1:40123` or `ready unix:/path`. With port 0 nobody else knows the
# port, and nobody has to ask again and again whether Puma is up.
Puma::Plugin.create do
  def start(launcher)
    # Puma 7 calls the event `after_booted`.
    events = launcher.events
    event = events.respond_to?(:after_booted) ? :after_booted : :on_booted
    events.public_send(event) do
      $stdout.write("ready #{address(launcher)}\n")
      $stdout.flush
      # Not before: a Puma that is still booting cannot be stopped.
      follow(launcher) if ENV["LIFELINE"] == "stdin"
    end
  end

  private

  def address(launcher)
    bind = ENV.fetch("BIND")
    return bind.sub("unix://", "unix:") if bind.start_with?("unix:")

    host = bind[%r{\A(?:tcp|ssl)://(.+):\d+(?:\?|\z)}, 1]
    "#{host}:#{launcher.connected_ports.first}"
  end

  # Standard input is a pipe from the one who started us: it ends when they do, however they end.
  def follow(launcher)
    Thread.new do
      $stdin.read
      launcher.stop
    end
  end
end
