//! Tokens, and an usher that reads them.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use usher::identity::Moment;

use crate::support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Usher, listener_tls},
};

/// The secret of all HS256 tokens here.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A signature over what is to be signed.
pub type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A JSON Web Token.
pub fn token(algorithm: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": algorithm, "typ": "JWT" })), part(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

/// A token of [`SECRET`] for an hour.
pub fn of(user: &str, more: &Value) -> String {
    token("HS256", &claims(user, more), |signed| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        hmac::sign(&key, signed).as_ref().to_vec()
    })
}

/// `sub` and an end in an hour, and `more`.
pub fn claims(user: &str, more: &Value) -> Value {
    let mut claims = json!({ "sub": user, "exp": Moment::now().0 + 3600, "aud": "shop" });
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

/// An Ed25519 key: its signature, and its public half in a JWK set.
pub fn ed25519() -> (Sign, Value) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    (Box::new(move |signed| pair.sign(signed).as_ref().to_vec()), key)
}

/// The text of an usher whose audiences are `audiences`, each served by the pool of its name.
pub fn text(
    directory: &std::path::Path,
    identity: &str,
    audiences: &str,
    origin: &Origin,
) -> String {
    std::fs::write(directory.join("secret"), format!("{SECRET}\n")).unwrap();
    let endpoint = origin.endpoint();
    format!(
        "listeners: [{{ bind: 127.0.0.1:0{} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\nworkers: 2\ndrain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         {identity}\n\
         audiences:\n{audiences}  - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n",
        listener_tls()
    )
}

/// A source of HS256 tokens out of [`SECRET`], with `more` keys.
pub fn jwt(more: &str) -> String {
    format!(
        "identity: [{{ jwt: {{ keys: [{{ secret_file: secret }}], audience: shop{more} }} }}]\n"
    )
}

/// An usher whose origin says which audience a request was for.
pub async fn started(
    directory: &std::path::Path,
    identity: &str,
    audiences: &str,
) -> (Usher, Client) {
    let origin = Origin::start().await;
    let path = directory.join("usher.yaml");
    std::fs::write(&path, text(directory, identity, audiences, &origin)).unwrap();
    origin.serve(|asked| ok(asked.field("x-audience").unwrap()));
    let usher = Usher::start_at(&path).await;
    let client = Client::connect(usher.address()).await;
    (usher, client)
}

/// Which audience a request for `target` with `fields` is for, or why it was refused.
pub async fn asked(client: &mut Client, target: &str, fields: &str) -> String {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")).await;
    let answer = client.answer().await;
    match answer.field("x-usher-fault") {
        Some(fault) => format!("{} {fault}", answer.status),
        None => answer.text().to_owned(),
    }
}

/// A field with a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
