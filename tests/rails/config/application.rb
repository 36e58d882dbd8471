require_relative "boot"

require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "action_cable/engine"

$LOAD_PATH.unshift File.expand_path("../lib", __dir__)
require "shop/database"
require "shop/bytes"
require "shop/echo"
require "shop/pool"
require "shop/till"
require "shop/upload"

module Shop
  # A restaurant's customers order, drivers deliver, admins watch: one application for all of them,
  # run several times over in pools that differ in nothing but threads, workers and name.
  class Application < Rails::Application
    config.load_defaults [Rails::VERSION::MAJOR, Rails::VERSION::MINOR].join(".").to_f

    config.eager_load = true
    config.cache_classes = true
    config.consider_all_requests_local = false
    config.public_file_server.enabled = false
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")

    # What usher can read of sessions and cookies: it never parses Marshal.
    config.action_dispatch.cookies_serializer = :json

    config.log_level = ENV.fetch("LOG_LEVEL", "info").to_sym
    config.log_tags = [:request_id]
    log = ENV["LOG"] ? File.open(ENV["LOG"], "a") : $stderr
    log.sync = true
    config.logger = ActiveSupport::TaggedLogging.new(Logger.new(log))

    # usher passes the client's Host on; which hosts are served is decided in front.
    config.hosts.clear

    # Whose X-Forwarded-For is believed. Rails' own list (loopback and private networks) is right
    # as long as usher's address is in it.
    if ENV["TRUSTED_PROXIES"]
      config.action_dispatch.trusted_proxies =
        ENV["TRUSTED_PROXIES"].split(",").map { |network| IPAddr.new(network) }
    end

    # nginx's and Apache's ways of sending files. usher speaks neither.
    config.action_dispatch.x_sendfile_header = nil

    config.action_cable.mount_path = "/cable"
    config.action_cable.allowed_request_origins = [
      %r{\Ahttps?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?\z},
      *ENV.fetch("CABLE_ORIGINS", "").split(",")
    ]

    config.middleware.insert_before 0, Shop::Pool
  end
end
