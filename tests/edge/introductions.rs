//! PROXY headers: who may send them, and what they change.

use std::sync::Arc;

use usher::proxy_protocol::{Version, write};

use crate::{
    Client, House,
    support::{
        authority::Authority,
        origin::{Asked, Origin, ok},
        wire::Wire,
    },
};

const REQUIRED: &str = "{ bind: 127.0.0.1:0, proxy_protocol: required }";
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

fn told(asked: &Asked) -> Vec<u8> {
    let field = |name| asked.field(name).unwrap_or("-").to_owned();
    ok(&["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"].map(field).join(" "))
}

fn counter(house: &House, result: &str) -> String {
    format!("usher_proxy_headers_total{{listener=\"{}\",result=\"{result}\"}}", house.address(0))
}

#[tokio::test]
async fn a_header_from_a_trusted_network_says_who_the_peer_is() {
    let origin = Origin::start().await;
    let house = House::open(&origin, "trusted_proxies: [127.0.0.0/8]", REQUIRED).await;
    origin.serve(told);
    let addresses = |from: &str, to: &str| (from.parse().expect("one"), to.parse().expect("one"));
    let (from, to) = addresses("192.0.2.7:5000", "198.51.100.1:443");
    for version in [Version::V1, Version::V2] {
        let mut client = Client::plain(house.address(0)).await;
        // Header and request in one, which must not be read into each other.
        client.send([write(version, from, to), GET.into()].concat()).await;
        assert_eq!(client.answer().await.text(), "192.0.2.7 http 443");
        // What the client behind says of others is not believed: it is no trusted proxy.
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "192.0.2.7 http 443");
    }
    let (from, to) = addresses("[2001:db8::7]:5000", "[2001:db8::1]:8443");
    let mut client = Client::plain(house.address(0)).await;
    for byte in write(Version::V1, from, to) {
        client.send([byte]).await;
    }
    client.send(GET).await;
    assert_eq!(client.answer().await.text(), "2001:db8::7 http 8443");
    // Another trusted proxy behind it is believed.
    let (from, to) = addresses("127.0.0.9:5000", "127.0.0.1:443");
    let mut client = Client::plain(house.address(0)).await;
    client.send(write(Version::V2, from, to)).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "192.0.2.8, 127.0.0.9 http 443");
    // A balancer that looks whether somebody is there speaks for itself.
    let mut client = Client::plain(house.address(0)).await;
    client.send(format!("PROXY UNKNOWN\r\n{GET}")).await;
    assert!(client.answer().await.text().starts_with("127.0.0.1 http "));
    house.usher.reaches(&counter(&house, "client"), 4.0).await;
    house.usher.reaches(&counter(&house, "sender"), 1.0).await;
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn it_stands_before_tls() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    let listener = "{ bind: 127.0.0.1:0, proxy_protocol: required, \
                    tls: { certificates: [{ cert: shop.crt, key: shop.key }] } }";
    let trusted = "trusted_proxies: [127.0.0.1]";
    let house = House::open_in(directory, &origin, trusted, listener).await;
    origin.serve(told);
    let mut client = Client::plain(house.address(0)).await;
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n").await;
    let socket = client.stream.into_socket();
    let config = Arc::new(authority.client());
    let wire = Wire::secure(socket, config, "shop.example").await.expect("hands are shaken");
    let mut client = Client::on(wire);
    assert_eq!(client.get("/").await.text(), "192.0.2.7 https 443");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn whoever_may_not_send_one_and_whatever_is_none_is_closed_unread() {
    let origin = Origin::start().await;
    let strangers = House::open(&origin, "trusted_proxies: [10.0.0.0/8]", REQUIRED).await;
    let mut client = Client::plain(strangers.address(0)).await;
    client.send(format!("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n{GET}")).await;
    client.closed().await;
    strangers.usher.reaches(&counter(&strangers, "untrusted"), 1.0).await;
    strangers.usher.stop().await;
    let more = "trusted_proxies: [127.0.0.1]\nlimits: { handshake_wait: 300ms }";
    let house = House::open(&origin, more, REQUIRED).await;
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
    let mut silent = Client::plain(house.address(0)).await;
    silent.send("PROXY TCP4 192.0.2.7").await;
    assert!(silent.closed().await.is_empty());
    house.usher.reaches(&counter(&house, "malformed"), 2.0).await;
    house.usher.reaches(&counter(&house, "late"), 1.0).await;
    house.usher.stop().await;
}

#[tokio::test]
async fn a_listener_that_takes_none_refuses_it_as_http() {
    let origin = Origin::start().await;
    let house = House::open(&origin, "trusted_proxies: [127.0.0.1]", "{ bind: 127.0.0.1:0 }").await;
    let mut client = Client::plain(house.address(0)).await;
    client.send(format!("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n{GET}")).await;
    assert_eq!(client.answer().await.status, 400);
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn connections_count_for_the_client_behind() {
    let origin = Origin::start().await;
    let more = "trusted_proxies: [127.0.0.1]\nlimits: { per_client: 1 }";
    let house = House::open(&origin, more, REQUIRED).await;
    origin.serve(told);
    let connect = async |from: &str| {
        let mut client = Client::plain(house.address(0)).await;
        client.send(format!("PROXY TCP4 {from} 198.51.100.1 5000 443\r\n{GET}")).await;
        client
    };
    let mut first = connect("192.0.2.7").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = connect("192.0.2.7").await;
    second.closed().await;
    let mut other = connect("192.0.2.8").await;
    assert_eq!(other.answer().await.status, 200);
    drop((first, other));
    house.usher.stop().await;
}
