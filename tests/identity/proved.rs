//! What is proved decides whom a request is for.

use serde_json::json;

use crate::tokens::{asked, bearer, claims, jwt, of, started, token};

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: \
        [{ user: [42, 'vip-*', '~^~'] }] }\n  \
    - { name: driver, pool: rails, match: [{ role: driver, not: { path: /admin/** } }] }\n  \
    - { name: gold, pool: rails, match: [{ claim: { plan: [gold, platinum], org.id: 7 } }] }\n";

#[tokio::test]
async fn a_request_goes_where_its_user_role_or_claims_belong() {
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = started(directory.path(), &jwt(", roles: roles"), AUDIENCES).await;
    for (user, more, audience) in [
        ("42", json!({}), "vip"),
        ("vip-7", json!({}), "vip"),
        ("~x", json!({}), "vip"),
        ("43", json!({}), "everyone"),
        ("43", json!({ "roles": ["a", "driver"] }), "driver"),
        ("43", json!({ "roles": "a driver" }), "driver"),
        ("43", json!({ "roles": "drivers" }), "everyone"),
        ("43", json!({ "plan": "gold", "org": { "id": 7 } }), "gold"),
        ("43", json!({ "plan": ["x", "platinum"], "org": { "id": "7" } }), "gold"),
        ("43", json!({ "plan": "gold", "org": { "id": 8 } }), "everyone"),
        ("43", json!({ "plan": "gold" }), "everyone"),
    ] {
        let proof = bearer(&of(user, &more));
        assert_eq!(asked(&mut client, "/", &proof).await, audience, "{user} {more}");
    }
    let driver = bearer(&of("1", &json!({ "roles": ["driver"] })));
    assert_eq!(asked(&mut client, "/admin/x", &driver).await, "everyone", "`not` holds as well");
    assert_eq!(asked(&mut client, "/", "").await, "everyone");
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.get("usher_identities_total{source=\"jwt\",result=\"proved\"}"), 12.0);
}

#[tokio::test]
async fn what_proves_nobody_is_nobody_and_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let audiences = "  - { name: vip, pool: rails, match: [{ user: '*' }] }\n";
    let (usher, mut client) = started(directory.path(), &jwt(""), audiences).await;
    let good = of("42", &json!({}));
    assert_eq!(asked(&mut client, "/", &bearer(&good)).await, "vip");
    let unsigned = token("none", &claims("42", &json!({})), |_| Vec::new());
    let other = token("HS256", &claims("42", &json!({})), |_| vec![0; 32]);
    for (carried, result) in [
        (bearer(&of("42", &json!({ "exp": 1 }))), "expired"),
        (bearer(&of("42", &json!({ "nbf": 99_999_999_999_u64 }))), "not_yet_valid"),
        (bearer(&of("42", &json!({ "aud": "bank" }))), "wrong_audience"),
        (bearer(&of("42", &json!({ "exp": null }))), "malformed"),
        (bearer(&of("", &json!({}))), "no_user"),
        (bearer(&unsigned), "wrong_algorithm"),
        (bearer(&other), "bad_signature"),
        (bearer(&format!("{good}.x")), "malformed"),
        (format!("{}{}", bearer(&good), bearer(&good)), "malformed"),
        (bearer(&"x".repeat(9000)), "oversized"),
    ] {
        let name = format!("usher_identities_total{{source=\"jwt\",result=\"{result}\"}}");
        let before = usher.samples().get(&name);
        assert_eq!(asked(&mut client, "/", &carried).await, "everyone", "{result}");
        assert_eq!(asked(&mut client, "/", &carried).await, "everyone", "{result}, remembered");
        usher.reaches(&name, before + 2.0).await;
    }
    for carries_none in ["", "Authorization: Basic eDp5\r\n", "Authorization: Bearer\r\n"] {
        assert_eq!(asked(&mut client, "/", carries_none).await, "everyone");
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_token_may_stand_in_a_cookie_a_parameter_or_a_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let audiences = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n";
    let from = ", from: [{ cookie: id }, { query: token }, { protocol: bearer. }, \
                { header: X-Token }]";
    let (usher, mut client) = started(directory.path(), &jwt(from), audiences).await;
    let (good, bad) = (of("42", &json!({})), of("42", &json!({ "exp": 1 })));
    for (target, fields, audience) in [
        ("/".to_owned(), format!("Cookie: a=b; id={good}\r\n"), "vip"),
        ("/".to_owned(), format!("Cookie: id={good}; id={bad}\r\n"), "vip"),
        ("/".to_owned(), format!("Cookie: id={bad}; id={good}\r\n"), "everyone"),
        ("/".to_owned(), format!("Cookie: id={bad}\r\nCookie: id={good}\r\n"), "everyone"),
        (format!("/?token={good}"), String::new(), "vip"),
        (format!("/?token={good}&token={bad}"), String::new(), "everyone"),
        (format!("/?token={bad}&token={good}"), String::new(), "vip"),
        ("/".to_owned(), format!("Sec-WebSocket-Protocol: cable, bearer.{good}\r\n"), "vip"),
        ("/".to_owned(), format!("Sec-WebSocket-Protocol: {good}\r\n"), "everyone"),
        ("/".to_owned(), format!("X-Token: {good}\r\n"), "vip"),
        ("/".to_owned(), format!("X-Token: bearer {good}\r\n"), "vip"),
        ("/".to_owned(), bearer(&good), "everyone"),
    ] {
        assert_eq!(asked(&mut client, &target, &fields).await, audience, "{target} {fields}");
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn the_first_source_that_proves_something_counts() {
    let directory = tempfile::tempdir().unwrap();
    let audiences = "  - { name: first, pool: rails, match: [{ user: 1 }] }\n  \
                     - { name: second, pool: rails, match: [{ user: 2 }] }\n";
    let source = |name: &str, more: &str| {
        format!(
            "{{ jwt: {{ name: {name}, from: {{ header: {name} }}, audience: shop, \
             keys: [{{ secret_file: secret }}]{more} }} }}"
        )
    };
    let both = format!("identity: [{}, {}]\n", source("a", ""), source("b", ", invalid: refuse"));
    let (usher, mut client) = started(directory.path(), &both, audiences).await;
    let (one, two, bad) = (of("1", &json!({})), of("2", &json!({})), of("1", &json!({ "exp": 1 })));
    for (fields, said) in [
        (format!("a: {one}\r\nb: {two}\r\n"), "first"),
        (format!("b: {two}\r\n"), "second"),
        (format!("a: {bad}\r\nb: {two}\r\n"), "second"),
        (format!("a: {one}\r\nb: {bad}\r\n"), "first"),
        (format!("a: {bad}\r\nb: {bad}\r\n"), "401 invalid_identity"),
        (format!("b: {bad}\r\n"), "401 invalid_identity"),
        (format!("a: {bad}\r\n"), "everyone"),
    ] {
        assert_eq!(asked(&mut client, "/", &fields).await, said, "{fields}");
    }
    drop(client);
    usher.stop().await;
}
