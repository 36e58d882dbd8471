# Which operation an application would run, by Rails' reading of the request and graphql-ruby's of the
# document, one JSON list a line:
#
#   ruby tests/identities/operations.rb < requests.jsonl
#
# A line of the input is a POST of JSON: `{"target": "/graphql?…", "body": "…"}`. A line of the output
# holds for each request of a batch `false` where nothing would run, `null` for an operation without
# a name, and else its name.

require "action_controller"
require "action_dispatch"
require "graphql"
require "json"
require "rack/mock"

class Query < GraphQL::Schema::Object
  field :a, Integer, null: true
end

class Shop < GraphQL::Schema
  query Query
  mutation Query
  subscription Query
end

# As the controller that graphql-ruby generates hands them on.
def ran(params)
  query = GraphQL::Query.new(Shop, params["query"], operation_name: params["operationName"])
  operation = query.selected_operation
  operation ? operation.name : false
rescue StandardError
  false
end

def params(target, body)
  env = Rack::MockRequest.env_for(
    target, method: "POST", input: body, "CONTENT_TYPE" => "application/json"
  )
  ActionDispatch::Request.new(env).params
rescue StandardError
  nil
end

$stdin.each_line do |line|
  asked = JSON.parse(line)
  said = params(asked["target"], asked["body"])
  batch = said && said["_json"].is_a?(Array) ? said["_json"] : [said]
  puts JSON.generate(batch.map { |one| one.respond_to?(:key?) ? ran(one) : false })
end
