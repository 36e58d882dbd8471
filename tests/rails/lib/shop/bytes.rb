module Shop
  # Rack application: `GET /bytes/N` answers with N bytes, of which the one at offset i is i % 251.
  # With `?chunked=1` the answer does not say its length beforehand.
  class Bytes
    PERIOD = 251
    # A whole number of periods, near 64 KiB.
    PIECE = (0...PERIOD).to_a.pack("C*").freeze * 261

    def self.call(env)
      count = Integer(env.fetch("action_dispatch.request.path_parameters")[:count], 10)
      headers = {
        "content-type" => "application/octet-stream",
        # Rack::ETag would otherwise gather the whole body to digest it.
        "last-modified" => Time.at(0).httpdate
      }
      chunked = Rack::Utils.parse_query(env["QUERY_STRING"])["chunked"] == "1"
      headers["content-length"] = count.to_s unless chunked
      [200, headers, env["REQUEST_METHOD"] == "HEAD" ? [] : new(count)]
    end

    def initialize(count)
      @count = count
    end

    def each
      left = @count
      while left >= PIECE.bytesize
        yield PIECE
        left -= PIECE.bytesize
      end
      yield PIECE.byteslice(0, left) if left.positive?
    end
  end
end
