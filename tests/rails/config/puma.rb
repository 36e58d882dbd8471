# One pool's Puma. Everything that differs between pools comes from `bin/pool`.
threads_count = Integer(ENV.fetch("THREADS", 5))
workers_count = Integer(ENV.fetch("WORKERS", 0))

threads threads_count, threads_count
workers workers_count
# A phased restart loads the application in each new worker.
if workers_count.positive? && !ENV["PHASED"]
  preload_app!
  before_fork { ActiveRecord::Base.connection_handler.clear_all_connections! }
end

bind ENV.fetch("BIND", "tcp://127.0.0.1:0")
environment "production"

set_remote_address proxy_protocol: ENV["PROXY_PROTOCOL"].to_sym if ENV["PROXY_PROTOCOL"]

# Above usher's `keep_alive.idle` (15 s), so that it is never Puma that closes an idle connection
# just as a request is on its way.
persistent_timeout Integer(ENV.fetch("KEEP_ALIVE", 20))

# The tests stop Pumas by dozens, and none has a request that is worth waiting for.
force_shutdown_after Integer(ENV["STOP_WAIT"]) if ENV["STOP_WAIT"]

$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
plugin :announce
