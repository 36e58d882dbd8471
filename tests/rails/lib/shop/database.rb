module Shop
  # Makes the tables and fills them, once, however many Pumas start at the same time.
  module Database
    ADVISORY_LOCK = 4_711

    class << self
      def prepare
        alone do
          next if connection.table_exists?("orders")

          ActiveRecord::Schema.verbose = false
          load Rails.root.join("db/schema.rb")
          ActiveRecord::Base.transaction { load Rails.root.join("db/seeds.rb") }
        end
        ActiveRecord::Base.connection_handler.clear_all_connections!
      end

      private

      def connection = ActiveRecord::Base.connection

      def alone(&block)
        connection.adapter_name == "SQLite" ? alone_by_file(&block) : alone_by_advisory_lock(&block)
      end

      def alone_by_file
        path = "#{ActiveRecord::Base.connection_db_config.database}.lock"
        File.open(path, File::CREAT | File::RDWR) do |file|
          file.flock(File::LOCK_EX)
          yield
        end
      end

      def alone_by_advisory_lock
        connection.execute("SELECT pg_advisory_lock(#{ADVISORY_LOCK})")
        yield
      ensure
        connection.execute("SELECT pg_advisory_unlock(#{ADVISORY_LOCK})")
      end
    end
  end
end
