# An admin's report: sales of every restaurant and dish, for as many days as were asked for. Slow
# and large on purpose, as such reports are.
class Report
  NAMES = %w[sales].freeze

  def initialize(name:, days:)
    @name = name
    @days = days
  end

  # The lines of a CSV, one day's worth at a time.
  def each
    return to_enum unless block_given?

    yield "day,restaurant,dish,orders,cents\n"
    @days.times do |day|
      yield sales.map { |row| [day, *row].join(",") << "\n" }.join
    end
  end

  private

  def sales
    Order.joins(menu: :restaurant)
         .group("restaurants.name", "menus.dish")
         .order("restaurants.name", "menus.dish")
         .pluck("restaurants.name", "menus.dish", Arel.sql("COUNT(*)"),
                Arel.sql("SUM(orders.quantity * menus.price_cents)"))
  end
end
