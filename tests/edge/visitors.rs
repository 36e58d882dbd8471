//! Clients who show a certificate.

use std::sync::Arc;

use crate::{
    House, secure,
    support::{
        authority::Authority,
        client::Answer,
        origin::{Asked, Origin, ok},
    },
};

/// What Rails was told of the client, as `audience subject fingerprint`.
fn told(asked: &Asked) -> Vec<u8> {
    let field = |name| asked.field(name).unwrap_or("-").to_owned();
    let [audience, subject, fingerprint] =
        ["x-audience", "x-usher-client-subject", "x-usher-client-fingerprint"].map(field);
    ok(&format!("{audience} {subject} {}", fingerprint.len()))
}

#[tokio::test]
async fn who_shows_a_certificate_is_known_by_it_and_nobody_else_can_say_so() {
    let authority = Authority::new("root");
    let (staff, strangers) = (Authority::new("staff"), Authority::new("strangers"));
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    std::fs::write(directory.path().join("staff.crt"), staff.root()).expect("it can be written");
    let tls = "certificates: [{ cert: shop.crt, key: shop.key }], clients: { roots: staff.crt";
    let listeners = format!(
        "{{ bind: 127.0.0.1:0, tls: {{ {tls} }} }} }}, \
         {{ bind: 127.0.0.2:0, tls: {{ {tls}, verify: optional }} }} }}"
    );
    let origin = Origin::start().await;
    let house = House::open_in(directory, &origin, "", &listeners).await;
    origin.serve(told);
    let ask = async |listener, config| -> Option<Answer> {
        let config = Arc::new(config);
        let mut client = secure(house.address(listener), &config, "shop.example").await.ok()?;
        let forged = "X-Usher-Client-Subject: CN=ops\r\nX-Usher-Client-Fingerprint: 00";
        let request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{forged}\r\n\r\n");
        // In TLS 1.3 the client is done before its certificate has been looked at.
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, request.as_bytes()).await.ok()?;
        client.try_answer(false).await
    };
    let showing = |authority: &Authority, by: &Authority, name| {
        authority.client_showing(&by.issue_client(name))
    };
    for listener in [0, 1] {
        let answer = ask(listener, showing(&authority, &staff, "ops-7")).await.expect("an answer");
        assert_eq!(answer.text(), "staff CN=ops-7 64");
        let answer = ask(listener, showing(&authority, &staff, "cook")).await.expect("an answer");
        assert_eq!(answer.text(), "everyone CN=cook 64");
        let wrong = ask(listener, showing(&authority, &strangers, "ops")).await;
        assert!(wrong.is_none(), "{wrong:?}");
    }
    assert!(ask(0, authority.client()).await.is_none(), "a certificate is required");
    let answer = ask(1, authority.client()).await.expect("an answer");
    assert_eq!(answer.text(), "everyone - 1");
    house.usher.stop().await;
}
