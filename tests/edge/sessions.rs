//! Sessions: their end, their resumption, and those that never begin.
//!
//! Transport: TLS itself, and HTTP/1.1 inside, where its end may be all that tells a body's.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, client::Resumption, pki_types::ServerName,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    House, secure,
    support::{
        authority::Authority,
        client::Client,
        origin::{Origin, PATIENCE, ok},
        wire::Wire,
    },
};

const TLS: &str = "tls: { certificates: [{ cert: shop.crt, key: shop.key }]";

async fn open(authority: &Authority, origin: &Origin, more: &str, listeners: &str) -> House {
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example", "api.example"]).write(directory.path(), "shop");
    House::open_in(directory, origin, more, listeners).await
}

/// The connection's session of TLS.
pub fn session(client: &Client) -> &ClientConnection {
    match &client.stream {
        Wire::Tls(stream) => stream.get_ref().1,
        Wire::Plain(_) | Wire::Http2(_) => panic!("this client speaks no TLS itself"),
    }
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

#[tokio::test]
async fn tickets_come_alone_to_a_client_that_asks_for_nothing() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    let config = Arc::new(authority.client());
    let client = secure(house.address(0), &config, "shop.example").await.expect("hands");
    let mut socket = client.stream.into_socket();
    let mut header = [0; 5];
    let read = timeout(PATIENCE, socket.read_exact(&mut header)).await.expect("in time");
    read.expect("a record");
    assert_eq!(header[..3], [23, 3, 3], "a record of application data, as tickets are");
    house.usher.stop().await;
}

/// The client's last flight and its request arrive together, and so do tickets and answer.
#[tokio::test]
async fn tickets_come_with_the_first_answer_to_a_client_that_asks_at_once() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    origin.serve(|_| ok("here"));
    let name = "shop.example".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(authority.client()), name).expect("a client");
    let mut socket = TcpStream::connect(house.address(0)).await.expect("usher accepts");
    let mut room = vec![0; 64 * 1024];
    while client.is_handshaking() {
        say(&mut client, &mut socket).await;
        hear(&mut client, &mut socket, &mut room).await;
    }
    let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    client.writer().write_all(request).expect("there is room");
    say(&mut client, &mut socket).await;
    assert_eq!(client.tls13_tickets_received(), 0);
    hear(&mut client, &mut socket, &mut room).await;
    assert_eq!(client.tls13_tickets_received(), 2);
    let mut answer = [0; 1024];
    let read = client.reader().read(&mut answer).expect("an answer with the tickets");
    assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK\r\n"));
    house.usher.stop().await;
}

/// Writes all that waits at once.
async fn say(client: &mut ClientConnection, socket: &mut TcpStream) {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("memory takes it");
    }
    socket.write_all(&bytes).await.expect("usher reads");
}

/// Reads once.
async fn hear(client: &mut ClientConnection, socket: &mut TcpStream, room: &mut [u8]) {
    let read = timeout(PATIENCE, socket.read(room)).await.expect("in time").expect("a read");
    let mut bytes = &room[..read];
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("there is room");
        client.process_new_packets().expect("usher speaks TLS");
    }
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
    let directory = house.directory.path();
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
    let limits = "limits: { handshakes: 1, handshake_wait: 3s }";
    let listener = format!("{{ bind: 127.0.0.1:0, {TLS} }} }}");
    let house = open(&authority, &origin, limits, &listener).await;
    origin.serve(|_| ok("here"));
    let mut silent = Vec::new();
    for _ in 0..3 {
        let socket = TcpStream::connect(house.address(0)).await.expect("usher accepts");
        silent.push(Client::on(Wire::Plain(socket)));
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

/// A client that has said its hello, has been answered, and says no more.
async fn half_shaken(address: SocketAddr, config: &Arc<ClientConfig>) -> TcpStream {
    let name = ServerName::try_from("shop.example").expect("a name");
    let mut client = ClientConnection::new(config.clone(), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("it is written");
    let mut socket = TcpStream::connect(address).await.expect("usher accepts");
    socket.write_all(&hello).await.expect("it is read");
    // What comes is usher's part, so that the handshake has begun.
    let answered = tokio::time::timeout(PATIENCE, socket.read_u8()).await;
    answered.expect("it is answered in time").expect("it is answered");
    socket
}

/// How many may shake hands at once, who are not late on a busy machine.
const LIMITS: &str = "limits: { handshakes: 2, handshake_wait: 60s }";

#[tokio::test]
async fn no_more_hands_are_shaken_at_once_than_may_be() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let listeners = format!("{{ bind: 127.0.0.1:0, {TLS} }} }}, {{ bind: 127.0.0.2:0, {TLS} }} }}");
    let house = open(&authority, &origin, LIMITS, &listeners).await;
    origin.serve(|_| ok("here"));
    let config = Arc::new(authority.client());
    let first = half_shaken(house.address(0), &config).await;
    let second = half_shaken(house.address(0), &config).await;
    let (address, patient) = (house.address(0), config.clone());
    let third = tokio::spawn(async move { secure(address, &patient, "shop.example").await });
    // Another listener has turns of its own.
    for _ in 0..10 {
        let mut other = secure(house.address(1), &config, "shop.example").await.expect("hands");
        assert_eq!(other.get("/").await.text(), "here");
    }
    assert!(!third.is_finished(), "two are under way");
    drop(first);
    let shaken = tokio::time::timeout(PATIENCE, third).await.expect("in time").expect("no panic");
    let mut third = shaken.expect("hands are shaken");
    assert_eq!(third.get("/").await.text(), "here");
    drop((second, third));
    house.usher.stop().await;
}

#[tokio::test]
async fn what_is_spoken_inside_is_agreed_on() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    origin.serve(|_| ok("here"));
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let mut config = authority.client();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let client = secure(house.address(0), &Arc::new(config), "shop.example").await;
        let mut client = client.expect("hands are shaken");
        let found = session(&client).alpn_protocol();
        assert_eq!(found, agreed.map(str::as_bytes), "{offered:?}");
        if agreed != Some("h2") {
            assert_eq!(client.get("/").await.text(), "here", "{offered:?}");
        }
    }
    let mut config = authority.client();
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    let error = secure(house.address(0), &Arc::new(config), "shop.example").await.err();
    let error = error.expect("there is nothing to agree on").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    house.usher.stop().await;
}

#[tokio::test]
async fn only_an_answer_that_is_whole_ends_with_a_word_of_tls() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let house = open(&authority, &origin, "", &format!("{{ bind: 127.0.0.1:0, {TLS} }} }}")).await;
    let config = Arc::new(authority.client());
    // To a client of HTTP/1.0 the close is all that tells the end of a body without a length.
    for (rest, whole) in [("0\r\n\r\n", true), ("6\r\nhal", false)] {
        let mut client = secure(house.address(0), &config, "shop.example").await.expect("hands");
        client.send("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n").await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhere\r\n").await;
        let head = client.head().await.expect("a head");
        assert_eq!((head.status, head.field("transfer-encoding")), (200, None));
        client.until(b"here").await.expect("what has come so far");
        line.write(rest).await;
        drop(line);
        let mut more = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.stream.read_to_end(&mut more)).await;
        let read = read.expect("usher closes in time");
        // Without that word the library of the client speaks of an error.
        assert_eq!(read.is_ok(), whole, "{read:?}");
    }
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
