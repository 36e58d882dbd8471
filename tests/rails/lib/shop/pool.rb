module Shop
  # Rack middleware: every answer, whoever makes it, says which pool and which process it is from.
  class Pool
    def initialize(app)
      @app = app
      @name = ENV.fetch("POOL", "none")
      @build = ENV["BUILD"]
      @broken = ENV["BROKEN"]
    end

    def call(env)
      # A bad release fails sooner than a good one answers.
      status, headers, body = @broken ? [500, {}, []] : @app.call(env)
      headers["x-pool"] = @name
      headers["x-process"] = Process.pid.to_s
      headers["x-usher-build"] = @build if @build
      [status, headers, body]
    end
  end
end
