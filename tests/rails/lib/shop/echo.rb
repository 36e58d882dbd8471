require "digest"
require "json"

module Shop
  # Rack application: answers with what Rack and Rails made of the request, as JSON.
  module Echo
    class << self
      def call(env)
        bytes, digest = Shop::Upload.consume(env["rack.input"])
        body = JSON.generate(
          rack: rack(env),
          headers: headers(env),
          rails: rails(ActionDispatch::Request.new(env)),
          body: { bytes: bytes, sha256: digest }
        )
        [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
      end

      private

      def rack(env)
        {
          method: env["REQUEST_METHOD"],
          # What the client wrote, where Rack::MethodOverride made another of it.
          method_written: env["rack.methodoverride.original_method"] || env["REQUEST_METHOD"],
          script_name: env["SCRIPT_NAME"],
          path_info: env["PATH_INFO"],
          query: env["QUERY_STRING"],
          uri: env["REQUEST_URI"],
          protocol: env["SERVER_PROTOCOL"],
          peer: env["REMOTE_ADDR"],
          scheme: env["rack.url_scheme"]
        }
      end

      # In Rack's names (`HTTP_X_AUDIENCE`), as nobody downstream sees what was on the wire.
      def headers(env)
        env.select { |name, _| name.start_with?("HTTP_", "CONTENT_") }
      end

      def rails(request)
        {
          path: request.path,
          host: request.host,
          port: request.port,
          protocol: request.protocol,
          remote_ip: request.remote_ip,
          request_id: request.request_id,
          cookies: request.cookies
        }
      end
    end
  end
end
