//! What a proxy in front has found out.

use crate::{
    support::{
        client::Client,
        origin::{Origin, ok},
        usher::Usher,
    },
    tokens::{asked, text},
};

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n  \
    - { name: staff, pool: rails, match: [{ role: staff }] }\n";

/// An usher that believes the networks `trusted`, and whose origin tells the fields that it got.
async fn vouched_for(directory: &std::path::Path, trusted: &str) -> (Usher, Client) {
    let origin = Origin::start().await;
    let identity = format!(
        "trusted_proxies: [{trusted}]\n\
         identity: [{{ header: {{ user: X-Auth-User, roles: X-Auth-Roles }} }}]\n"
    );
    let text = text(directory, &identity, AUDIENCES, &origin);
    origin.serve(|asked| {
        let field = |name| asked.field(name).unwrap_or("-").to_owned();
        let twice = asked.fields.iter().filter(|(name, _)| name == "x-auth-user").count() > 1;
        let user = if twice { "twice".to_owned() } else { field("x-auth-user") };
        ok(&[field("x-audience"), user, field("x-usher-user")].join(" "))
    });
    let usher = Usher::start(&text).await;
    let client = Client::connect(usher.address()).await;
    (usher, client)
}

#[tokio::test]
async fn a_trusted_proxy_may_say_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = vouched_for(directory.path(), "127.0.0.0/8").await;
    for (fields, said) in [
        ("X-Auth-User: 42\r\n", "vip 42 -"),
        ("X-Auth-User: 7\r\nX-Auth-Roles: a, staff\r\n", "staff 7 -"),
        ("X-Auth-Roles: staff\r\n", "everyone - -"),
        ("X-Auth-User:\r\nX-Auth-Roles: staff\r\n", "everyone  -"),
        ("X-Auth-User: 7\r\nX-Auth-User: 42\r\n", "everyone twice -"),
        ("X-Usher-User: 42\r\n", "everyone - -"),
    ] {
        assert_eq!(asked(&mut client, "/", fields).await, said, "{fields}");
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn maintenance_lets_users_pass_that_are_allowed_and_nobody_who_only_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = vouched_for(directory.path(), "127.0.0.0/8").await;
    let order = r#"{ "target": "pool:rails", "allow_users": ["42", "9"] }"#;
    let mut operator = Client::plain(usher.addresses.control.expect("a control port")).await;
    operator
        .send(format!(
            "POST /api/v1/maintenance HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
            order.len()
        ))
        .await;
    let told = operator.answer().await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(told.text().contains(r#""allow_users":["42","9"]"#), "{}", told.text());
    assert_eq!(asked(&mut client, "/", "X-Auth-User: 42\r\n").await, "vip 42 -");
    for fields in ["X-Auth-User: 421\r\n", "X-Usher-User: 42\r\n", ""] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("maintenance")));
    }
    drop((client, operator));
    usher.stop().await;
}

#[tokio::test]
async fn from_anybody_else_it_is_nothing_and_does_not_reach_rails() {
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = vouched_for(directory.path(), "192.0.2.0/24").await;
    let forged = "X-Auth-User: 42\r\nX-Auth-Roles: staff\r\nX-Usher-User: 42\r\n";
    assert_eq!(asked(&mut client, "/", forged).await, "everyone - -");
    assert_eq!(
        asked(&mut client, "/", &format!("Connection: close\r\n{forged}")).await,
        "everyone - -"
    );
    drop(client);
    usher.stop().await;
}
