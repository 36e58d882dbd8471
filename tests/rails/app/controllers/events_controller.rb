# A stream of server-sent events. The next event is written when somebody pushes it and not before,
# so that a test can show that one event arrived while the next did not exist.
#
# Streams and pushes meet in the memory of one process: a pool that streams has no workers.
class EventsController < ApplicationController
  include ActionController::Live

  # `GET /sse?channel=NAME`: says `hello` as soon as it listens, then what is pushed.
  def show
    response.headers["Content-Type"] = "text/event-stream"
    # Rack::ETag of Rack 2.2 would otherwise gather the stream to digest it.
    response.headers["Last-Modified"] = Time.now.httpdate
    inbox = Exchange.subscribe(channel)
    begin
      response.stream.write("data: hello\n\n")
      while (event = inbox.pop) != :close
        response.stream.write("data: #{event}\n\n")
      end
    rescue ActionController::Live::ClientDisconnected
      logger.info("the client has left channel #{channel}")
    end
  ensure
    Exchange.unsubscribe(channel, inbox)
    response.stream.close
  end

  # `POST /sse/push?channel=NAME&data=TEXT`, or `&close=1` to end the streams. Says how many heard.
  def create
    event = params[:close] ? :close : params.fetch(:data, "")
    heard = Exchange.push(channel, event)
    render json: { heard: heard }
  end

  private

  def channel
    params.fetch(:channel, "default")
  end

  # Who listens to what.
  module Exchange
    LOCK = Mutex.new
    INBOXES = Hash.new { |hash, channel| hash[channel] = [] }

    def self.subscribe(channel)
      Queue.new.tap { |inbox| LOCK.synchronize { INBOXES[channel] << inbox } }
    end

    def self.unsubscribe(channel, inbox)
      LOCK.synchronize { INBOXES[channel].delete(inbox) }
    end

    def self.push(channel, event)
      LOCK.synchronize { INBOXES[channel].each { |inbox| inbox << event }.size }
    end
  end
end
