//! PROXY headers: who may send them, and what they change. They stand before everything else, TLS
//! included.

use std::io;

use tokio::{io::AsyncWriteExt, net::TcpStream};
use usher::proxy_protocol::{Version, write};

use crate::{
    House,
    support::{
        client::Client,
        origin::{Asked, Origin, ok},
        usher::listener_tls,
        wire::{self, Wire},
    },
};

const PROTO: &str = if wire::TLS { "https" } else { "http" };
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

fn told(asked: &Asked) -> Vec<u8> {
    let field = |name| asked.field(name).unwrap_or("-").to_owned();
    ok(&["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"].map(field).join(" "))
}

/// A listener that takes connections only with a header.
fn required() -> String {
    format!("{{ bind: 127.0.0.1:0, proxy_protocol: required{} }}", listener_tls())
}

/// A client on a connection that begins with `header`, sent in `pieces`.
async fn introduced(house: &House, header: &[u8], pieces: usize) -> io::Result<Client> {
    let mut socket = TcpStream::connect(house.address(0)).await?;
    socket.set_nodelay(true)?;
    for piece in header.chunks(header.len().div_ceil(pieces)) {
        socket.write_all(piece).await?;
    }
    Wire::on(socket).await.map(Client::on)
}

fn counter(house: &House, result: &str) -> String {
    format!("usher_proxy_headers_total{{listener=\"{}\",result=\"{result}\"}}", house.address(0))
}

#[tokio::test]
async fn a_header_from_a_trusted_network_says_who_the_peer_is() {
    let origin = Origin::start().await;
    let house = House::open(&origin, "trusted_proxies: [127.0.0.0/8]", &required()).await;
    origin.serve(told);
    let addresses = |from: &str, to: &str| (from.parse().expect("one"), to.parse().expect("one"));
    let (from, to) = addresses("192.0.2.7:5000", "198.51.100.1:443");
    let mut introductions = 0.0;
    for version in [Version::V1, Version::V2] {
        let header = write(version, from, to);
        let mut client = introduced(&house, &header, 1).await.expect("it is taken");
        assert_eq!(client.get("/").await.text(), format!("192.0.2.7 {PROTO} 443"));
        // What the client behind says of others is not believed: it is no trusted proxy.
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), format!("192.0.2.7 {PROTO} 443"));
        introductions += 1.0;
        if !wire::TLS {
            // Header and request in one, which must not be read into each other.
            let mut client = Client::plain(house.address(0)).await;
            client.send([header, GET.into()].concat()).await;
            assert_eq!(client.answer().await.text(), "192.0.2.7 http 443");
            introductions += 1.0;
        }
    }
    let (from, to) = addresses("[2001:db8::7]:5000", "[2001:db8::1]:8443");
    let header = write(Version::V1, from, to);
    let mut client = introduced(&house, &header, header.len()).await.expect("it is taken");
    assert_eq!(client.get("/").await.text(), format!("2001:db8::7 {PROTO} 8443"));
    // Another trusted proxy behind it is believed.
    let (from, to) = addresses("127.0.0.9:5000", "127.0.0.1:443");
    let mut client = introduced(&house, &write(Version::V2, from, to), 1).await.expect("taken");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), format!("192.0.2.8, 127.0.0.9 {PROTO} 443"));
    // A balancer that looks whether somebody is there speaks for itself.
    let mut client = introduced(&house, b"PROXY UNKNOWN\r\n", 1).await.expect("it is taken");
    let told = client.get("/").await;
    assert!(told.text().starts_with(&format!("127.0.0.1 {PROTO} ")), "{}", told.text());
    house.usher.reaches(&counter(&house, "client"), introductions + 2.0).await;
    house.usher.reaches(&counter(&house, "sender"), 1.0).await;
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn whoever_may_not_send_one_and_whatever_is_none_is_closed_unread() {
    let origin = Origin::start().await;
    let strangers = House::open(&origin, "trusted_proxies: [10.0.0.0/8]", &required()).await;
    let mut client = Client::plain(strangers.address(0)).await;
    client.send(format!("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n{GET}")).await;
    client.closed().await;
    strangers.usher.reaches(&counter(&strangers, "untrusted"), 1.0).await;
    strangers.usher.stop().await;
    let house = House::open(&origin, "trusted_proxies: [127.0.0.1]", &required()).await;
    for bytes in [
        GET.as_bytes(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443 1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c12345678901\xff\xff",
    ] {
        let mut client = Client::plain(house.address(0)).await;
        client.send(bytes).await;
        if bytes.starts_with(b"\r\n\r\n\0") {
            // A whole header of 12 bytes of addresses; HTTP that is none follows.
            client.send("\r\n").await;
        }
        client.closed().await;
    }
    house.usher.reaches(&counter(&house, "malformed"), 2.0).await;
    house.usher.stop().await;
    let more = "trusted_proxies: [127.0.0.1]\nlimits: { handshake_wait: 300ms }";
    let house = House::open(&origin, more, &required()).await;
    let mut silent = Client::plain(house.address(0)).await;
    silent.send("PROXY TCP4 192.0.2.7").await;
    assert!(silent.closed().await.is_empty());
    house.usher.reaches(&counter(&house, "late"), 1.0).await;
    house.usher.stop().await;
}

#[tokio::test]
async fn a_listener_that_takes_none_refuses_it_as_what_it_is_not() {
    let origin = Origin::start().await;
    let listener = format!("{{ bind: 127.0.0.1:0{} }}", listener_tls());
    let house = House::open(&origin, "trusted_proxies: [127.0.0.1]", &listener).await;
    let mut client = Client::plain(house.address(0)).await;
    client.send(format!("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n{GET}")).await;
    if wire::TLS {
        client.closed().await;
        let at = house.address(0);
        let failed = format!("usher_tls_handshakes_total{{listener=\"{at}\",result=\"failed\"}}");
        house.usher.reaches(&failed, 1.0).await;
    } else {
        assert_eq!(client.answer().await.status, 400);
    }
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn connections_count_for_the_client_behind() {
    let origin = Origin::start().await;
    let more = "trusted_proxies: [127.0.0.1]\nlimits: { per_client: 1 }";
    let house = House::open(&origin, more, &required()).await;
    origin.serve(told);
    let connect = async |from: &str| {
        let header = format!("PROXY TCP4 {from} 198.51.100.1 5000 443\r\n");
        introduced(&house, header.as_bytes(), 1).await
    };
    let mut first = connect("192.0.2.7").await.expect("it is taken");
    assert_eq!(first.get("/").await.status, 200);
    // Over TLS no hands are shaken with one too many.
    if let Ok(mut second) = connect("192.0.2.7").await {
        assert!(second.closed().await.is_empty());
    }
    let mut other = connect("192.0.2.8").await.expect("it is taken");
    assert_eq!(other.get("/").await.status, 200);
    drop((first, other));
    house.usher.stop().await;
}
