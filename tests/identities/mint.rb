# Cookies as the Rails that is installed here makes them, one JSON object a line:
#
#   ruby tests/identities/mint.rb
#
# They are made by Rails' own cookie jar. What another version would be told by its defaults is said
# here (digests of keys, serializers), so that one Rails makes most of what others make.

require "action_controller"
require "action_dispatch"
require "action_dispatch/middleware/cookies"
require "active_support/messages/rotation_configuration"
require "json"
require "openssl"

BASE = "a1b2c3d4" * 16
COOKIE = "_shop_session"
SESSION = {
  "session_id" => "8f14e45f", "user_id" => 42, "roles" => %w[driver vip], "plan" => "gold",
  "warden.user.user.key" => [[42], "$2a$12$abcdefghijklmnopqrstuv"]
}.freeze

# PBKDF2 as `ActiveSupport::KeyGenerator` does it, with a digest that Rails before 7.0 does not take.
class Generator
  def initialize(digest) = @digest = digest

  def generate_key(salt, size = 64)
    OpenSSL::PKCS5.pbkdf2_hmac(BASE, salt, 1000, size, @digest.new)
  end
end

def environment(more)
  {
    "rack.input" => StringIO.new, "REQUEST_METHOD" => "GET", "HTTP_HOST" => "shop.example",
    "action_dispatch.key_generator" => Generator.new(OpenSSL::Digest::SHA1),
    "action_dispatch.secret_key_base" => BASE,
    "action_dispatch.signed_cookie_salt" => "signed cookie",
    "action_dispatch.encrypted_cookie_salt" => "encrypted cookie",
    "action_dispatch.encrypted_signed_cookie_salt" => "signed encrypted cookie",
    "action_dispatch.authenticated_encrypted_cookie_salt" => "authenticated encrypted cookie",
    "action_dispatch.encrypted_cookie_cipher" => nil,
    "action_dispatch.use_authenticated_cookie_encryption" => true,
    "action_dispatch.use_cookies_with_metadata" => true,
    "action_dispatch.cookies_serializer" => :json,
    "action_dispatch.cookies_rotations" => ActiveSupport::Messages::RotationConfiguration.new
  }.merge(more.transform_keys { |key| "action_dispatch.#{key}" })
end

# The value as it stands in a `Cookie` field.
def made(kind, value, name: COOKIE, expires: nil, **more)
  jar = ActionDispatch::Request.new(environment(more)).cookie_jar
  jar.public_send(kind)[name] = { value: value, expires: expires }.compact
  Rack::Utils.escape(jar.instance_variable_get(:@set_cookies)[name][:value])
end

def row(variant, label, user, value)
  puts JSON.generate(variant: variant, label: label, user: user, value: value)
end

version = ActiveSupport.version.to_s
sha256 = { key_generator: Generator.new(OpenSSL::Digest::SHA256) }
before = { use_authenticated_cookie_encryption: false }
bare = { use_cookies_with_metadata: false }
salts = {
  authenticated_encrypted_cookie_salt: "of our own", signed_cookie_salt: "of our own",
  encrypted_cookie_salt: "of our own", encrypted_signed_cookie_salt: "another"
}
later = Time.now + 50 * 365 * 86_400
past = Time.now - 60

row "about", version, nil, Generator.new(OpenSSL::Digest::SHA256).generate_key(
  "authenticated encrypted cookie", 32
).unpack1("H*")

# --- Encrypted with AES-256-GCM: sessions since Rails 5.2
row "gcm", "session", "42", made(:encrypted, SESSION)
row "gcm", "with an end", "42", made(:encrypted, SESSION, expires: later)
row "gcm", "past its end", nil, made(:encrypted, SESSION, expires: past)
row "gcm", "keys by SHA-256", "42", made(:encrypted, SESSION, **sha256)
row "gcm", "nobody logged in", nil, made(:encrypted, { "session_id" => "8f14e45f" })
row "gcm", "of another cookie", nil, made(:encrypted, SESSION, name: "_other")
row "gcm", "without a purpose", nil, made(:encrypted, SESSION, **bare)
row "gcm", "Marshal", nil, made(:encrypted, SESSION, cookies_serializer: :marshal)
row "gcm", "another key", nil, made(:encrypted, SESSION, **salts)
row "gcm", "signed alone", nil, made(:signed, SESSION)
row "salted", "session", "42", made(:encrypted, SESSION, **salts)
row "salted", "Rails' own salt", nil, made(:encrypted, SESSION)
row "derived", "session", "42", made(:encrypted, SESSION, **sha256)
row "derived", "keys by SHA-1", nil, made(:encrypted, SESSION)
row "bare", "without a purpose", "42", made(:encrypted, SESSION, **bare)
row "bare", "with a purpose", "42", made(:encrypted, SESSION)
row "bare", "of another cookie", nil, made(:encrypted, SESSION, name: "_other")

# --- Encrypted with AES-256-CBC and signed: before, and applications that kept it
row "cbc", "session", "42", made(:encrypted, SESSION, **before)
row "cbc", "keys by SHA-256", "42", made(:encrypted, SESSION, **before, **sha256)
row "cbc", "past its end", nil, made(:encrypted, SESSION, expires: past, **before)
row "cbc", "GCM", nil, made(:encrypted, SESSION)
row "cbc_salted", "session", "42", made(:encrypted, SESSION, **before, **salts)

# --- Signed alone
row "signed", "a scalar", "42", made(:signed, 42)
row "signed", "a text", "42", made(:signed, "42")
row "signed", "by SHA-256", "42", made(:signed, 42, cookies_digest: "SHA256")
row "signed", "by SHA-512", "42", made(:signed, 42, cookies_digest: "SHA512")
row "signed", "keys by SHA-256", "42", made(:signed, 42, **sha256)
row "signed", "with an end", "42", made(:signed, 42, expires: later)
row "signed", "past its end", nil, made(:signed, 42, expires: past)
row "signed", "of another cookie", nil, made(:signed, 42, name: "_other")
row "signed", "no user", nil, made(:signed, SESSION)
row "remember", "as Devise writes it", "42", made(:signed, [[42], "$2a$12$abc", "1764100000.1"])
row "signed_salted", "a scalar", "42", made(:signed, 42, **salts)
