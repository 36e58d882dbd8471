//! PROXY headers towards endpoints.

use tokio::io::AsyncWriteExt;
use usher::proxy_protocol::{Progress, Source, look};

use crate::{
    House, said,
    support::{
        authority::Authority,
        client::Client,
        origin::{Line, Origin, ok},
    },
    vault::Vault,
};

const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;

/// The header that a connection begins with.
pub async fn header(line: &mut Line) -> Source {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(line.read_exactly(1).await.expect("a header comes"));
        if let Progress::Whole(source) = look(&bytes).expect("it is one") {
            return source;
        }
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn an_endpoint_is_told_who_the_client_is_once_for_each_connection() {
    for version in ["v1", "v2"] {
        let origin = Origin::start().await;
        let pool = format!("proxy_protocol: {version}");
        let house = House::open(directory(), &origin.endpoint(), &pool).await;
        let mut client = Client::connect(house.usher.address()).await;
        let (source, destination) =
            (client.stream.local_addr().expect("one"), house.usher.address());
        let told = Source::Client { source, destination };
        client.send("GET /1 HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        let mut line = origin.accept().await;
        assert_eq!(header(&mut line).await, told, "{version}");
        assert_eq!(line.read().await.target(), "/1");
        line.write(ok("one")).await;
        assert_eq!(client.answer().await.text(), "one");
        client.send("GET /2 HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        assert_eq!(line.read().await.target(), "/2", "the same client's, on the same connection");
        line.write(ok("two")).await;
        assert_eq!(client.answer().await.text(), "two");
        // The connection is idle, and belongs to somebody else.
        let mut other = Client::connect(house.usher.address()).await;
        let source = other.stream.local_addr().expect("one");
        other.send("GET /3 HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        let mut second = origin.accept().await;
        assert_eq!(header(&mut second).await, Source::Client { source, destination });
        assert_eq!(second.read().await.target(), "/3");
        second.write(ok("three")).await;
        assert_eq!(other.answer().await.text(), "three");
        drop((client, other));
        house.usher.stop().await;
    }
}

#[tokio::test]
async fn a_slot_that_goes_to_another_client_does_not_take_its_connection_along() {
    let origin = Origin::start().await;
    let pool = "proxy_protocol: v2, capacity: 1";
    let text = crate::text(&origin.endpoint(), pool).replace("capacity: 5, ", "");
    let house = House::open_with(directory(), &text).await;
    let mut first = Client::connect(house.usher.address()).await;
    first.send("GET /1 HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    header(&mut line).await;
    line.read().await;
    let mut second = Client::connect(house.usher.address()).await;
    let source = second.stream.local_addr().expect("one");
    second.send("GET /2 HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    house.usher.reaches(r#"usher_pool_queue_length{pool="rails"}"#, 1.0).await;
    line.write(ok("one")).await;
    assert_eq!(first.answer().await.text(), "one");
    let mut next = origin.accept().await;
    let destination = house.usher.address();
    assert_eq!(header(&mut next).await, Source::Client { source, destination });
    assert_eq!(next.read().await.target(), "/2");
    next.write(ok("two")).await;
    assert_eq!(second.answer().await.text(), "two");
    drop((first, second));
    house.usher.stop().await;
}

#[tokio::test]
async fn a_client_behind_a_trusted_proxy_is_told_without_a_port() {
    let origin = Origin::start().await;
    let text = format!(
        "trusted_proxies: [127.0.0.1]\n{}",
        crate::text(&origin.endpoint(), "proxy_protocol: v1")
    );
    let house = House::open_with(directory(), &text).await;
    let mut client = Client::connect(house.usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::7\r\n\r\n").await;
    let mut line = origin.accept().await;
    let Source::Client { source, .. } = header(&mut line).await else { panic!("a client's") };
    assert_eq!(source, "[2001:db8::7]:0".parse().expect("an address"));
    line.read().await;
    line.write(ok("here")).await;
    assert_eq!(client.answer().await.text(), "here");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn checks_are_on_nobodys_behalf() {
    for (version, plain) in [("v1", false), ("v2", false), ("v2", true)] {
        let origin = Origin::start().await;
        let plain_key = if plain { ", plain: on" } else { "" };
        let pool =
            format!("proxy_protocol: {version}, health: {{ interval: 100ms, fall: 1{plain_key} }}");
        let house = House::open(directory(), &origin.endpoint(), &pool).await;
        let mut line = origin.accept().await;
        if !plain {
            assert_eq!(header(&mut line).await, Source::Sender, "{version}");
        }
        assert_eq!(line.read().await.target(), "/up");
        line.write(ok("")).await;
        house.usher.reaches(UP, 1.0).await;
        house.usher.stop().await;
    }
}

#[tokio::test]
async fn the_header_stands_before_tls() {
    let (root, inside, origin) =
        (Authority::new("root"), Origin::start().await, Origin::start().await);
    let vault = Vault::open(&inside, &root.issue(&["127.0.0.1"]), None).await;
    inside.serve(|_| ok("inside"));
    let ca = directory();
    std::fs::write(ca.path().join("ca.pem"), root.root()).expect("it can be written");
    let pool = "proxy_protocol: v2, tls: { roots: ca.pem }";
    let house = House::open(ca, &origin.endpoint(), pool).await;
    let mut client = Client::connect(house.usher.address()).await;
    let source = client.stream.local_addr().expect("one");
    let asking = async { client.get("/").await };
    let passing = async {
        let mut line = origin.accept().await;
        let destination = house.usher.address();
        assert_eq!(header(&mut line).await, Source::Client { source, destination });
        let mut there = tokio::net::TcpStream::connect(vault.address).await.expect("it accepts");
        let hello = line.read_exactly(line.ahead()).await.expect("what has come");
        there.write_all(&hello).await.expect("it reads");
        let _ = tokio::io::copy_bidirectional(&mut line.stream, &mut there).await;
    };
    let answer = tokio::select! {
        answer = asking => answer,
        () = passing => panic!("it ended before the answer"),
    };
    assert_eq!(answer.text(), "inside");
    drop(client);
    house.usher.stop().await;
}

#[test]
fn its_version_is_one_there_is() {
    let directory = directory();
    let said = |pool| said(directory.path(), "127.0.0.1:1", pool);
    assert!(said("proxy_protocol: off").is_empty());
    let wrong = said("proxy_protocol: v3");
    assert!(wrong[0].contains("write `v1` or `v2` or `off`"), "{wrong:?}");
}
