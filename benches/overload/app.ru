# As much work as the request asks for: a thread that waits, as for a database.
run lambda { |env|
  sleep(env["QUERY_STRING"][/ms=(\d+)/, 1].to_i / 1000.0)
  [200, { "Content-Type" => "text/plain", "Content-Length" => "2" }, ["ok"]]
}
