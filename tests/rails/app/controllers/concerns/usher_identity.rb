module UsherIdentity
  def self.key = @key ||= OpenSSL::PKey.read(File.read(ENV.fetch("USHER_IDENTITY_KEY")))

  def remember_for_usher(user, roles: [], for_at_most: 12.hours)
    claims = { sub: user.id.to_s, roles: roles, exp: for_at_most.from_now.to_i }
    payload = Base64.urlsafe_encode64(claims.to_json, padding: false)
    digest = "SHA256" unless UsherIdentity.key.oid == "ED25519"
    signature = UsherIdentity.key.sign(digest, "usher-identity.#{payload}")
    value = "#{payload}.#{Base64.urlsafe_encode64(signature, padding: false)}"
    cookies[:_usher_identity] = { value: value, expires: for_at_most,
                                  httponly: true, secure: request.ssl?, same_site: :lax }
  end
end
