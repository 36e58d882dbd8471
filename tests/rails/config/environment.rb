require_relative "application"

Rails.application.initialize!
Shop::Database.prepare
