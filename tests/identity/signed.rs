//! usher's own cookie.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::tokens::{Sign, asked, claims, ed25519, started};

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: [{ user: 42, role: vip }] }\n";

fn cookie(claims: &Value, sign: &Sign, prefix: &str) -> String {
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signature = sign(format!("{prefix}{payload}").as_bytes());
    format!("Cookie: _usher_identity={payload}.{}\r\n", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_cookie_that_the_application_signed_says_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let (sign, key) = ed25519();
    let (old, old_key) = ed25519();
    let (stranger, _) = ed25519();
    let set = json!({ "keys": [key, old_key] });
    std::fs::write(directory.path().join("keys.json"), set.to_string()).unwrap();
    let identity = "identity: [{ cookie: { keys: [{ jwks: keys.json }] } }]\n";
    let (usher, mut client) = started(directory.path(), identity, AUDIENCES).await;
    let vip = claims("42", &json!({ "roles": ["vip"] }));
    let past = claims("42", &json!({ "roles": ["vip"], "exp": 1 }));
    let mut endless = vip.clone();
    endless.as_object_mut().unwrap().remove("exp");
    let right = "usher-identity.";
    for (fields, audience) in [
        (cookie(&vip, &sign, right), "vip"),
        (cookie(&vip, &old, right), "vip"),
        (cookie(&vip, &stranger, right), "everyone"),
        (cookie(&vip, &sign, ""), "everyone"),
        (cookie(&past, &sign, right), "everyone"),
        (cookie(&endless, &sign, right), "everyone"),
        (cookie(&claims("42", &json!({})), &sign, right), "everyone"),
        ("Cookie: _usher_identity=.\r\n".to_owned(), "everyone"),
        ("Cookie: _usher_identity\r\n".to_owned(), "everyone"),
    ] {
        assert_eq!(asked(&mut client, "/", &fields).await, audience, "{fields}");
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_out_proves_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let ((old, old_key), (new, new_key)) = (ed25519(), ed25519());
    let write = |keys: Value| {
        std::fs::write(directory.path().join("keys.json"), json!({ "keys": keys }).to_string())
    };
    write(json!([old_key])).unwrap();
    let identity = "identity: [{ cookie: { keys: [{ jwks: keys.json }] } }]\n";
    let (usher, mut client) = started(directory.path(), identity, AUDIENCES).await;
    let vip = claims("42", &json!({ "roles": ["vip"] }));
    let by_old = cookie(&vip, &old, "usher-identity.");
    let by_new = cookie(&vip, &new, "usher-identity.");
    assert_eq!(asked(&mut client, "/", &by_old).await, "vip");
    assert_eq!(asked(&mut client, "/", &by_new).await, "everyone");
    write(json!([new_key])).unwrap();
    usher.reaches("usher_config_generation", 2.0).await;
    assert_eq!(asked(&mut client, "/", &by_old).await, "everyone", "though it was remembered");
    assert_eq!(asked(&mut client, "/", &by_new).await, "vip");
    drop(client);
    usher.stop().await;
}
