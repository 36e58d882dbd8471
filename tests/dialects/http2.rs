//! HTTP/2 towards endpoints.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use crate::{
    House,
    origin2::{Origin2, REFUSE_ALL, answer_raw, request},
    said,
    support::{authority::Authority, client::Client, origin::Origin},
    vault::Vault,
};

const QUEUED: &str = r#"usher_pool_queue_length{pool="rails"}"#;
const ORPHANS: &str = r#"usher_pool_orphans{pool="rails"}"#;

pub async fn started(pool: &str) -> (Origin2, House) {
    let origin = Origin2::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let pool = format!("protocol: h2c, {pool}");
    let house = House::open(directory, &origin.endpoint(), &pool).await;
    (origin, house)
}

/// A client that has asked for `path`.
pub async fn asking(house: &House, method: &str, path: &str, more: &str) -> Client {
    let mut client = Client::connect(house.usher.address()).await;
    client.send(request(method, path, more)).await;
    client
}

#[tokio::test]
async fn requests_share_one_connection_and_slots_are_the_bound() {
    let (origin, house) = started("").await;
    let mut clients = Vec::new();
    let mut first = asking(&house, "GET", "/0", "").await;
    let mut trunk = origin.accept().await;
    let asked = trunk.read().await;
    for number in 1..6 {
        clients.push(asking(&house, "GET", &format!("/{number}"), "").await);
    }
    house.usher.reaches(QUEUED, 1.0).await;
    let mut there = vec![asked];
    for _ in 1..5 {
        there.push(trunk.read().await);
    }
    // Five slots, and a sixth request that waits for one.
    there.remove(0).ok("zero");
    assert_eq!(first.answer().await.text(), "zero");
    there.push(trunk.read().await);
    for asked in there {
        let path = asked.path().to_owned();
        asked.ok(&path);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().await.text(), format!("/{}", number + 1));
    }
    assert!(origin.is_quiet().await, "there was no other connection");
    drop((first, clients));
    house.usher.stop().await;
    trunk.closed().await;
}

#[tokio::test]
async fn a_request_is_translated_with_its_body_and_what_comes_behind_it() {
    let (origin, house) = started("buffer: { request: off, answer: off }").await;
    let more = "Connection: close, X-Mine\r\nX-Mine: 1\r\nCookie: a=b\r\nTE: trailers\r\n\
                Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
    let mut client = asking(&house, "POST", "/a?b=%2f", more).await;
    let mut trunk = origin.accept().await;
    let mut asked = trunk.read().await;
    let uri = &asked.head.uri;
    assert_eq!(uri.to_string(), "http://shop.example/a?b=%2f");
    for ended in ["host", "connection", "x-mine", "transfer-encoding"] {
        assert!(!asked.head.headers.contains_key(ended), "{ended}");
    }
    assert_eq!(asked.head.headers["cookie"], "a=b");
    assert_eq!(asked.head.headers["x-audience"], "everyone");
    client.send("5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let (body, trailers) = asked.read().await;
    assert_eq!(body, b"hello");
    assert_eq!(trailers.expect("trailers")["x-sum"], "7");
    let mut answer = asked.begin(Response::builder().status(201).body(()).expect("a head"));
    answer.send_data(Bytes::from_static(b"made"), false).expect("usher reads");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-took", HeaderValue::from_static("1"));
    answer.send_trailers(trailers).expect("usher reads");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text(), answer.whole), (201, "made", true));
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_leaves_finishes_what_it_has_and_gets_no_more() {
    let (origin, house) = started("").await;
    let mut first = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    let asked = trunk.read().await;
    trunk.leave();
    // It may not have been heard of yet; whoever is asked, a POST is looked at once.
    let mut second = asking(&house, "POST", "/2", "Content-Length: 5\r\n").await;
    second.send("order").await;
    let elsewhere = async {
        let mut other = origin.accept().await;
        let asked = other.read().await;
        (Some(other), asked)
    };
    let (_other, mut late) = tokio::select! {
        there = elsewhere => there,
        asked = trunk.read() => (None, asked),
    };
    assert_eq!(late.path(), "/2");
    assert_eq!(late.read().await.0, b"order");
    late.ok("two");
    asked.ok("one");
    assert_eq!(first.answer().await.text(), "one");
    assert_eq!(second.answer().await.text(), "two");
    trunk.closed().await;
    drop((first, second));
    house.usher.stop().await;
}

#[tokio::test]
async fn what_an_endpoint_has_not_looked_at_is_sent_again_whatever_it_is() {
    let (origin, house) = started("").await;
    let mut client = asking(&house, "POST", "/", "Content-Length: 5\r\n").await;
    client.send("order").await;
    let refusing = tokio::spawn(answer_raw(origin.accept_socket().await, REFUSE_ALL));
    let mut trunk = origin.accept().await;
    trunk.read().await.reset(h2::Reason::REFUSED_STREAM);
    let mut asked = trunk.read().await;
    assert_eq!(asked.read().await.0, b"order");
    asked.ok("placed");
    assert_eq!(client.answer().await.text(), "placed");
    refusing.await.expect("no panic");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn a_request_that_an_endpoint_takes_back_is_an_upstream_that_broke() {
    let (origin, house) = started("retry: off").await;
    let mut client = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    trunk.read().await.reset(h2::Reason::INTERNAL_ERROR);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_broke")));
    // An answer that has begun and is taken back is cut, not ended.
    client.send(request("GET", "/2", "")).await;
    let mut asked = trunk.read().await;
    let head = Response::builder().header("content-length", 10).body(()).expect("a head");
    let mut answer = asked.begin(head);
    answer.send_data(Bytes::from_static(b"half"), false).expect("usher reads");
    assert_eq!(client.head().await.expect("a head").status, 200);
    answer.send_reset(h2::Reason::CANCEL);
    assert_eq!(client.closed().await, b"half");
    // One that is shorter than it says is not HTTP/2.
    let mut client = asking(&house, "GET", "/3", "").await;
    let mut asked = trunk.read().await;
    let head = Response::builder().header("content-length", 10).body(()).expect("a head");
    asked.begin(head).send_data(Bytes::from_static(b"half"), true).expect("usher reads");
    let answer = client.answer().await;
    assert!(!answer.whole || answer.status == 502, "{answer:?}");
    // The connection is none the worse for it.
    let mut client = asking(&house, "GET", "/4", "").await;
    trunk.read().await.ok("four");
    assert_eq!(client.answer().await.text(), "four");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn a_connection_that_dies_takes_only_what_may_not_be_sent_again() {
    let (origin, house) = started("").await;
    let mut warm = asking(&house, "GET", "/0", "").await;
    let mut trunk = origin.accept().await;
    trunk.read().await.ok("zero");
    assert_eq!(warm.answer().await.text(), "zero");
    let mut get = asking(&house, "GET", "/1", "").await;
    let _unanswered = trunk.read().await;
    let mut post = asking(&house, "POST", "/2", "Content-Length: 5\r\n").await;
    post.send("order").await;
    let mut order = trunk.read().await;
    assert_eq!(order.read().await.0, b"order");
    trunk.cut();
    assert_eq!(post.answer().await.field("x-usher-fault"), Some("upstream_broke"));
    let mut next = origin.accept().await;
    let asked = next.read().await;
    assert_eq!(asked.path(), "/1");
    asked.ok("one");
    assert_eq!(get.answer().await.text(), "one");
    drop((warm, get, post));
    house.usher.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_own_answer_and_no_other() {
    let (origin, house) = started("buffer: { answer: off }").await;
    let mut slow = asking(&house, "GET", "/slow", "").await;
    let mut trunk = origin.accept().await;
    let mut asked = trunk.read().await;
    let size = 64 << 20;
    let head = Response::builder().header("content-length", size).body(()).expect("a head");
    let mut stream = asked.begin(head);
    let sending = tokio::spawn(async move {
        let (mut sent, chunk) = (0, Bytes::from(vec![b'x'; 16 * 1024]));
        while sent < size {
            stream.reserve_capacity(chunk.len());
            let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let Some(Ok(granted)) = granted else { break };
            let data = chunk.slice(..granted.min(chunk.len()));
            sent += data.len();
            if stream.send_data(data, sent == size).is_err() {
                break;
            }
        }
        sent
    });
    assert_eq!(slow.head().await.expect("a head").status, 200);
    // It reads no more; others are served on the same connection meanwhile.
    for number in 0..20 {
        let mut other = asking(&house, "GET", "/quick", "").await;
        trunk.read().await.ok(&number.to_string());
        assert_eq!(other.answer().await.text(), number.to_string());
    }
    assert!(!sending.is_finished(), "64 MiB lie nowhere");
    assert!(origin.is_quiet().await);
    drop(slow);
    // Much is left to be said, so it is taken back.
    assert!(sending.await.expect("no panic") < size);
    house.usher.stop().await;
}

#[tokio::test]
async fn a_slot_stays_taken_while_an_endpoint_works_for_a_client_that_has_gone() {
    let (origin, house) = started("").await;
    let client = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    let asked = trunk.read().await;
    client.reset();
    house.usher.reaches(ORPHANS, 1.0).await;
    asked.ok("nobody hears it");
    house.usher.reaches(ORPHANS, 0.0).await;
    let mut next = asking(&house, "GET", "/2", "").await;
    trunk.read().await.ok("two");
    assert_eq!(next.answer().await.text(), "two");
    drop(next);
    house.usher.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_admits_one_at_a_time_gets_more_connections() {
    let (origin, house) = started("").await;
    let mut first = asking(&house, "GET", "/0", "").await;
    let mut trunk = origin.accept_for(1).await;
    trunk.read().await.ok("zero");
    assert_eq!(first.answer().await.text(), "zero");
    first.send(request("GET", "/1", "")).await;
    let one = trunk.read().await;
    let mut second = asking(&house, "GET", "/2", "").await;
    let mut other = origin.accept_for(1).await;
    other.read().await.ok("two");
    assert_eq!(second.answer().await.text(), "two");
    one.ok("one");
    assert_eq!(first.answer().await.text(), "one");
    drop((first, second));
    house.usher.stop().await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (origin, house) = started("keep_alive: { idle: 100ms }").await;
    let mut client = asking(&house, "GET", "/", "").await;
    let mut trunk = origin.accept().await;
    trunk.read().await.ok("here");
    assert_eq!(client.answer().await.text(), "here");
    trunk.closed().await;
    client.send(request("GET", "/again", "")).await;
    origin.accept().await.read().await.ok("again");
    assert_eq!(client.answer().await.text(), "again");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn within_tls_it_is_agreed_on_or_there_is_no_connection() {
    let (root, origin) = (Authority::new("root"), Origin2::start().await);
    let issued = root.issue(&["127.0.0.1"]);
    let both: [&[u8]; 2] = [b"http/1.1", b"h2"];
    let vault = Vault::open_at(origin.address(), &issued, None, &both).await;
    let mute = Vault::open_at(origin.address(), &issued, None, &[]).await;
    let pool = "protocol: h2, tls: { roots: ca.pem }, health: { interval: 100ms, fall: 1 }";
    let believing = || {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), root.root()).expect("it can be written");
        directory
    };
    let house = House::open(believing(), &vault.address.to_string(), pool).await;
    // The check speaks it as well.
    let check = origin.accept().await.read().await;
    assert_eq!((check.path(), check.head.uri.scheme_str()), ("/up", Some("https")));
    check.ok("");
    house.usher.reaches(r#"usher_pool_endpoints{pool="rails",state="up"}"#, 1.0).await;
    drop(origin);
    assert_eq!(vault.shaken()[0].protocol.as_deref(), Some(&b"h2"[..]));
    house.usher.stop().await;
    let house = House::open(believing(), &mute.address.to_string(), pool).await;
    house.usher.reaches(r#"usher_pool_endpoints{pool="rails",state="down"}"#, 1.0).await;
    let reason = house.usher.remote.status().pools[0].endpoints[0].reason.clone();
    assert!(reason.as_deref().is_some_and(|it| it.contains("did not choose `h2`")), "{reason:?}");
    house.usher.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_speaks_http1_is_malformed() {
    let origin = Origin::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let house = House::open(directory, &origin.endpoint(), "protocol: h2c, retry: off").await;
    let mut client = asking(&house, "GET", "/", "").await;
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let answering = tokio::spawn(answer_raw(origin.accept().await.stream, answer));
    assert_eq!(client.answer().await.field("x-usher-fault"), Some("upstream_malformed"));
    answering.await.expect("no panic");
    drop(client);
    house.usher.stop().await;
}

#[test]
fn a_protocol_has_to_fit_what_stands_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    for (pool, complaint) in [
        ("protocol: h2", "`h2` is spoken within TLS"),
        ("protocol: h2c, tls: { dangerously_unverified: on }", "`h2c` is HTTP/2 without TLS"),
        ("protocol: h2c, proxy_protocol: v1", "a PROXY header speaks of one"),
        ("protocol: h3", "write `http/1.1`, `h2c` or `h2`"),
    ] {
        let said = said(directory.path(), "127.0.0.1:1", pool);
        assert!(said.iter().any(|it| it.contains(complaint)), "{pool}: {said:?}");
    }
    assert!(said(directory.path(), "127.0.0.1:1", "protocol: http/1.1").is_empty());
}
