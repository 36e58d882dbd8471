# As much work as the request asks for: a thread that waits, as for a database. The answer says when
# it began and ended, by the machine's monotonic clock.
run lambda { |env|
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  sleep(env["QUERY_STRING"][/ms=(\d+)/, 1].to_i / 1000.0)
  worked = format("%.6f %.6f", begun, Process.clock_gettime(Process::CLOCK_MONOTONIC))
  headers = { "Content-Type" => "text/plain", "Content-Length" => "2", "X-Worked" => worked }
  [200, headers, ["ok"]]
}
