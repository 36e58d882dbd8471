//! Audiences that admit only some users.

use serde_json::json;

use crate::tokens::{asked, bearer, jwt, of, started};

#[tokio::test]
async fn who_proves_nothing_is_told_to_and_who_is_another_is_turned_away() {
    let directory = tempfile::tempdir().unwrap();
    let audiences = "  - { name: admin, pool: rails, match: [{ path: /admin/** }], \
                         only: [{ role: admin }, { user: root, client: 10.0.0.0/8 }] }\n  \
                     - { name: staff, pool: rails, match: [{ path: /staff/** }], \
                         only: [{ client: 10.0.0.0/8, user: '*' }] }\n";
    let (usher, mut client) = started(directory.path(), &jwt(", roles: roles"), audiences).await;
    let admin = bearer(&of("1", &json!({ "roles": ["admin"] })));
    let other = bearer(&of("2", &json!({ "roles": ["driver"] })));
    let past = bearer(&of("1", &json!({ "roles": ["admin"], "exp": 1 })));
    for (target, fields, said) in [
        ("/admin/x", admin.as_str(), "admin"),
        ("/admin/x", other.as_str(), "403 not_admitted"),
        ("/admin/x", past.as_str(), "401 unidentified"),
        ("/admin/x", "", "401 unidentified"),
        ("/staff/x", "", "403 not_admitted"),
        ("/staff/x", admin.as_str(), "403 not_admitted"),
        ("/", "", "everyone"),
    ] {
        assert_eq!(asked(&mut client, target, fields).await, said, "{target} {fields}");
    }
    client.send("GET /admin/ HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.field("www-authenticate"), Some("Bearer"), "RFC 9110 §15.5.2");
    drop(client);
    let samples = usher.stop().await;
    let faults = |fault: &str, audience: &str| {
        samples.sum("usher_faults_total", &[&format!("fault=\"{fault}\""), audience])
    };
    assert_eq!(faults("unidentified", "audience=\"admin\""), 3.0);
    assert_eq!(faults("not_admitted", "audience=\"staff\""), 2.0);
}
