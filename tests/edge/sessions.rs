//! Sessions: their end, their resumption, and those that never begin.

use std::sync::Arc;

use rustls::{HandshakeKind, client::Resumption};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    Client, House, secure, session,
    support::{
        authority::Authority,
        origin::{Origin, ok},
    },
};

const TLS: &str = "tls: { certificates: [{ cert: shop.crt, key: shop.key }]";

async fn open(authority: &Authority, origin: &Origin, more: &str, listeners: &str) -> House {
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example", "api.example"]).write(directory.path(), "shop");
    House::open_in(directory, origin, more, listeners).await
}

#[tokio::test]
async fn a_session_is_resumed_for_its_own_name_at_its_own_listener_alone() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let listeners = format!("{{ bind: 127.0.0.1:0, {TLS} }} }}, {{ bind: 127.0.0.2:0, {TLS} }} }}");
    let house = open(&authority, &origin, "", &listeners).await;
    origin.serve(|_| ok("here"));
    let mut config = authority.client();
    config.resumption = Resumption::in_memory_sessions(16);
    let config = Arc::new(config);
    let kind = async |listener, name: &str| {
        let mut client = secure(house.address(listener), &config, name).await.expect("hands");
        // Tickets come behind the first answer at the latest.
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        client.send(request).await;
        assert_eq!(client.answer().await.text(), "here");
        session(&client).handshake_kind().expect("it is over")
    };
    assert_eq!(kind(0, "shop.example").await, HandshakeKind::Full);
    assert_eq!(kind(0, "shop.example").await, HandshakeKind::Resumed);
    // The client would resume by name; the other listener has other keys.
    assert_eq!(kind(1, "shop.example").await, HandshakeKind::Full);
    assert_eq!(kind(0, "api.example").await, HandshakeKind::Full);
    let resumed = format!(
        "usher_tls_handshakes_total{{listener=\"{}\",result=\"resumed\"}}",
        house.address(0)
    );
    house.usher.reaches(&resumed, 1.0).await;
    house.usher.stop().await;
}

/// Has usher read its configuration again, which has changed.
async fn reload(house: &House) {
    let control = house.usher.addresses.control.expect("a control port");
    let mut operator = Client::plain(control).await;
    operator.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = operator.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn sessions_go_on_with_a_renewed_certificate_and_end_with_another_policy() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    origin.serve(|_| ok("here"));
    let directory = house._directory.path();
    std::fs::write(directory.join("ca.crt"), authority.root()).expect("it can be written");
    let mut config = authority.client();
    config.resumption = Resumption::in_memory_sessions(16);
    let config = Arc::new(config);
    let kind = async || {
        let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
        assert_eq!(client.get("/").await.text(), "here");
        session(&client).handshake_kind().expect("it is over")
    };
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    authority.issue(&["shop.example"]).write(directory, "new");
    let file = directory.join("usher.yaml");
    let first = std::fs::read_to_string(&file).expect("it is there");
    let renewed = first.replace("cert: shop.crt, key: shop.key", "cert: new.crt, key: new.key");
    std::fs::write(&file, &renewed).expect("it can be written");
    reload(&house).await;
    assert_eq!(kind().await, HandshakeKind::Resumed, "who resumes has been believed before");
    // Whom a ticket vouches for and what may be spoken: each other policy has keys of its own.
    for more in ["clients: { roots: ca.crt, verify: optional }", "lowest: 1.3", "lowest: 1.2"] {
        let other = renewed.replace("new.key }]", &format!("new.key }}], {more}"));
        assert_ne!(other, renewed);
        std::fs::write(&file, other).expect("it can be written");
        reload(&house).await;
        assert_eq!(kind().await, HandshakeKind::Full, "{more}");
        assert_eq!(kind().await, HandshakeKind::Resumed, "{more}");
    }
    house.usher.stop().await;
}

#[tokio::test]
async fn a_body_that_ends_without_a_word_of_tls_is_cut_and_not_whole() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    let config = Arc::new(authority.client());
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
        client
            .send(format!("POST / HTTP/1.1\r\nHost: shop.example\r\n{framing}\r\n\r\n5\r\nab"))
            .await;
        // Under the session: an end of the socket and no close_notify.
        let mut socket = client.stream.into_socket();
        socket.shutdown().await.expect("it is shut");
    }
    let left = "usher_faults_total{audience=\"everyone\",pool=\"rails\",fault=\"client_left\",\
                blame=\"client\"}";
    house.usher.reaches(left, 2.0).await;
    house.usher.stop().await;
}

#[tokio::test]
async fn who_says_no_hello_in_time_is_closed_and_holds_nobody_up() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let limits = "limits: { handshakes: 1, handshake_wait: 300ms }";
    let listener = format!("{{ bind: 127.0.0.1:0, {TLS} }} }}");
    let house = open(&authority, &origin, limits, &listener).await;
    origin.serve(|_| ok("here"));
    let mut silent = Vec::new();
    for _ in 0..3 {
        let socket = TcpStream::connect(house.address(0)).await.expect("usher accepts");
        silent.push(Client::on(crate::Wire::Plain(socket)));
    }
    let config = Arc::new(authority.client());
    let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    assert_eq!(client.get("/").await.text(), "here");
    for mut client in silent {
        assert!(client.closed().await.is_empty());
    }
    let late =
        format!("usher_tls_handshakes_total{{listener=\"{}\",result=\"late\"}}", house.address(0));
    house.usher.reaches(&late, 3.0).await;
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn plain_text_at_a_port_of_tls_is_closed_and_counted() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    let mut client = Client::plain(house.address(0)).await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    client.closed().await;
    let failed = format!(
        "usher_tls_handshakes_total{{listener=\"{}\",result=\"failed\"}}",
        house.address(0)
    );
    house.usher.reaches(&failed, 1.0).await;
    house.usher.stop().await;
}

#[tokio::test]
async fn a_host_that_no_certificate_covers_is_a_421() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let listeners =
        format!("{{ bind: 127.0.0.1:0, {TLS} }} }}, {{ bind: 127.0.0.2:0, {TLS}, hosts: any }} }}");
    let house = open(&authority, &origin, "", &listeners).await;
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
