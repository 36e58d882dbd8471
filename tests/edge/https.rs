//! What a client meets within TLS whatever it speaks there: hosts of other certificates, and what
//! keeps browsers at https.

use std::sync::Arc;

use crate::{
    House, secure,
    support::{
        authority::Authority,
        origin::{Origin, ok},
    },
};

#[tokio::test]
async fn a_host_that_no_certificate_covers_is_a_421() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example", "api.example"]).write(directory.path(), "shop");
    let tls = "tls: { certificates: [{ cert: shop.crt, key: shop.key }]";
    let listeners =
        format!("{{ bind: 127.0.0.1:0, {tls} }} }}, {{ bind: 127.0.0.2:0, {tls}, hosts: any }} }}");
    let house = House::open_in(directory, &origin, "", &listeners).await;
    origin.serve(|_| ok("here"));
    let config = Arc::new(authority.client());
    let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    for (host, status) in [("api.example:8443", 200), ("other.example", 421), ("SHOP.example", 200)]
    {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{host}");
        let fault = (status == 421).then_some("misdirected");
        assert_eq!(answer.field("x-usher-fault"), fault, "{host}");
    }
    let mut any = secure(house.address(1), &config, "shop.example").await.expect("hands");
    any.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    assert_eq!(any.answer().await.status, 200);
    drop((client, any));
    house.usher.stop().await;
}

#[tokio::test]
async fn browsers_are_told_to_stay_unless_the_monolith_has_said_how() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    let listener = "{ bind: 127.0.0.1:0, \
                    tls: { certificates: [{ cert: shop.crt, key: shop.key }] }, \
                    hsts: { max_age: 730d, subdomains: on, preload: on } }";
    let house = House::open_in(directory, &origin, "", listener).await;
    origin.serve(|asked| match &*asked.line {
        "GET /own HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nStrict-Transport-Security: max-age=1\r\n\r\n"
                .to_vec()
        }
        _ => ok("here"),
    });
    let config = Arc::new(authority.client());
    let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    let policy = "max-age=63072000; includeSubDomains; preload";
    assert_eq!(client.get("/").await.field("strict-transport-security"), Some(policy));
    assert_eq!(client.get("/own").await.field("strict-transport-security"), Some("max-age=1"));
    drop(client);
    house.usher.stop().await;
}
