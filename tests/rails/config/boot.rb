# Runs with Bundler (`USE_BUNDLER=1`, the Gemfile's gems) or on the distribution's packages.
if ENV["USE_BUNDLER"] == "1"
  ENV["BUNDLE_GEMFILE"] ||= File.expand_path("../Gemfile", __dir__)
  require "bundler/setup"
end

# Active Support before 7.1 uses Logger without requiring it.
require "logger"
