# frozen_string_literal: true

# Answers what Puma, Rails' router and Rack make of requests. One JSON document in, one out:
#
#   { "routes": [["/a", "/a/*rest"], ...],      each list a set of routes of its own
#     "paths": ["/a.json", ...],
#     "cookies": ["a=1; b=2", ...], "queries": ["a=1", ...], "name": "a" }
#
#   { "paths": [{ "normal": "/a.json", "routed": [true, ...] } or null, ...],
#     "cookies": ["1" or null, ...], "queries": ["1" or null or false, ...] }
#
# A path that Puma refuses is null; a query that Rails refuses, or that holds no text, is false.

require "json"
require "puma"
require "puma/puma_http11"
require "action_controller"
require "action_dispatch"
require "rack"

OK = ->(_env) { [200, {}, []] }
WHOLE_SEGMENT = %r{[^/]+}

# A route's name says what it is: `:whole` is one whole segment, `:part` Rails' own default,
# a leading `mount ` an engine's place.
def route_set(routes)
  ActionDispatch::Routing::RouteSet.new.tap do |set|
    set.draw do
      routes.each_with_index do |route, i|
        if route.start_with?("mount ")
          mount OK => route.delete_prefix("mount ")
        else
          wholes = route.scan(/:(whole\w*)/).flatten.to_h { |name| [name.to_sym, WHOLE_SEGMENT] }
          match route, via: :all, to: OK, as: "route#{i}", constraints: wholes
        end
      end
    end
  end
end

def path_info(path)
  parser = Puma::HttpParser.new
  env = {}
  parser.execute(env, "GET #{path} HTTP/1.1\r\nHost: test\r\n\r\n".b, 0)
  parser.finished? ? env["REQUEST_PATH"] : nil
rescue Puma::HttpParserError
  nil
end

def routed?(set, path_info)
  env = Rack::MockRequest.env_for("/").merge("PATH_INFO" => path_info.dup)
  set.call(env).first == 200
rescue ActionController::BadRequest
  true # it has found its route, and there a parameter that is no UTF-8
end

def text(value)
  return value if value.nil?
  value.is_a?(String) && value.dup.force_encoding("UTF-8").valid_encoding? ? value : false
end

def parameter(query, name)
  text(Rack::Request.new(Rack::MockRequest.env_for("/").merge("QUERY_STRING" => query)).GET[name])
rescue Rack::QueryParser::ParameterTypeError, Rack::QueryParser::InvalidParameterError
  false
end

asked = JSON.parse($stdin.read)
sets = asked["routes"].map { |routes| route_set(routes) }
paths = asked["paths"].map do |path|
  info = path_info(path) or next
  normal = ActionDispatch::Journey::Router::Utils.normalize_path(info)
  { normal: normal.dup.force_encoding("UTF-8"), routed: sets.map { |set| routed?(set, info) } }
end
cookies = asked["cookies"].map { |field| text(Rack::Utils.parse_cookies_header(field)[asked["name"]]) }
queries = asked["queries"].map { |query| parameter(query, asked["name"]) }
puts JSON.generate({ paths: paths, cookies: cookies, queries: queries })
