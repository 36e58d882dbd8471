//! One request's way through a whole usher, between a client and an origin that do as they are
//! told.

mod support;

use support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// usher in front of one origin, and a client.
async fn started(pool: &str) -> (Origin, Usher, Client) {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], pool)).await;
    let client = Client::connect(usher.address()).await;
    (origin, usher, client)
}

#[tokio::test]
async fn each_audience_goes_to_its_own_pool_and_is_counted_there() {
    let (customers, drivers) = (Origin::start().await, Origin::start().await);
    let (customer, driver) = (customers.endpoint(), drivers.endpoint());
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         control: off\nmetrics: off\naccess_log: off\ndrain: {{ grace: 0s }}\n\
         audiences:\n\
         - {{ name: driver, pool: driver, match: [{{ path: /api/driver/** }}, \
              {{ header: {{ X-App: driver }} }}] }}\n\
         - {{ name: customer, pool: customer }}\n\
         pools:\n  customer: {{ endpoints: [{customer}], capacity: 5 }}\n  \
         driver: {{ endpoints: [{driver}], capacity: 5 }}\n"
    );
    customers.serve(|asked| ok(&format!("customer {}", asked.field("x-audience").unwrap())));
    drivers.serve(|asked| ok(&format!("driver {}", asked.field("x-audience").unwrap())));
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "customer customer");
    assert_eq!(client.get("/api/driver/jobs").await.text(), "driver driver");
    assert_eq!(client.get("//api//driver/jobs/").await.text(), "driver driver");
    assert_eq!(client.get("/api/drivers").await.text(), "customer customer");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-App: driver\r\nX-Audience: admin\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "driver driver");
    drop(client);
    let samples = usher.stop().await;
    let served = |audience| {
        samples.sum("usher_requests_total", &[audience, "status=\"200\"", "outcome=\"served\""])
    };
    assert_eq!(served("audience=\"driver\""), 3.0);
    assert_eq!(served("audience=\"customer\""), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &[]), 5.0);
    assert_eq!(samples.sum("usher_first_byte_seconds_count", &["audience=\"driver\""]), 3.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &["pool=\"customer\""]), 2.0);
}

#[tokio::test]
async fn rails_receives_who_asks_and_what_for_and_nothing_that_a_stranger_made_up() {
    let (origin, usher, mut client) = started("").await;
    client
        .send(
            "GET /a%2Fb?x=1&y=%20 HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: X-Secret\r\n\
             X-Secret: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Request-Id: forged\r\nX-Request-Start: t=1\r\nX_Request_Id: forged\r\n\
             Client-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Usher-Route: a#b\r\n\
             Cookie: a=b\r\n\r\n",
        )
        .await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.line, "GET /a%2Fb?x=1&y=%20 HTTP/1.1");
    assert_eq!(asked.field("host"), Some("shop.example:8080"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.field("x-forwarded-proto"), Some("http"));
    assert_eq!(asked.field("x-forwarded-host"), Some("shop.example:8080"));
    let port = usher.address().port().to_string();
    assert_eq!(asked.field("x-forwarded-port"), Some(&*port));
    assert_eq!(asked.field("x-audience"), Some("everyone"));
    assert_eq!(asked.field("cookie"), Some("a=b"));
    let id = asked.field("x-request-id").expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let start = asked.field("x-request-start").expect("a start").strip_prefix("t=").expect("t=");
    assert!(start.parse::<u64>().expect("milliseconds") > 1_700_000_000_000);
    assert!(asked.field("via").expect("a via").starts_with("1.1 usher-"));
    for gone in ["x-secret", "client-ip", "forwarded", "x-usher-route", "connection"] {
        assert_eq!(asked.field(gone), None, "{gone}");
    }
    assert!(asked.fields.iter().all(|(name, _)| !name.contains('_')));
    line.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-Usher-Build: 7\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
    )
    .await;
    let answer = client.answer().await;
    let cookies: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(answer.field("x-usher-build"), None);
    assert!(answer.field("date").is_some());
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn both_sides_are_kept_alive() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    for n in 0..3 {
        line.read().await;
        line.write(ok(&format!("{n}"))).await;
        assert_eq!(client.answer().await.text(), format!("{n}"));
        client.send(GET).await;
    }
    line.read().await;
    line.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(line.read().await.line.starts_with("HEAD"));
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let answer = client.answer_to_head().await;
    assert_eq!(answer.field("content-length"), Some("1000"));
    client.send(GET).await;
    line.read().await;
    line.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 304);
    assert_eq!(line_count(&usher), 1.0, "one connection carried them all");
    drop((client, line));
    usher.stop().await;
}

/// Client connections now.
fn line_count(usher: &Usher) -> f64 {
    usher.samples().sum("usher_connections", &[])
}

#[tokio::test]
async fn a_body_is_gathered_before_the_monolith_sees_the_request() {
    let (origin, usher, mut client) = started("").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("5\r\nhello\r\n").await;
    let large = "x".repeat(300_000);
    client.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("content-length"), Some("300005"));
    assert_eq!(asked.field("transfer-encoding"), None);
    assert_eq!(asked.body.len(), 300_005);
    line.write(ok("got it")).await;
    assert_eq!(client.answer().await.text(), "got it");
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let asked = line.read().await;
    assert_eq!((&*asked.body, &*asked.trailers), (&b"hi"[..], "x-sum: 7\r\n"));
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_streamed_body_reaches_the_monolith_as_it_comes() {
    let (origin, usher, mut client) = started("    buffer: { request: off }\n").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
    let mut line = origin.accept().await;
    line.read_until(b"\r\n\r\n").await.expect("a head");
    assert_eq!(line.read_exactly(5).await.expect("the first half"), b"first");
    client.send("other").await;
    assert_eq!(line.read_exactly(5).await.expect("the other half"), b"other");
    line.write(ok("both")).await;
    assert_eq!(client.answer().await.text(), "both");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_written() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    assert_eq!(client.head().await.expect("a head comes before any event").status, 200);
    for n in 0..5 {
        line.write(format!("9\r\ndata: {n}\n\n\r\n")).await;
        let event = client.until(b"\n\n").await.expect("an event");
        assert!(String::from_utf8_lossy(&event).contains(&format!("data: {n}")));
    }
    line.write("0\r\n\r\n").await;
    client.until(b"0\r\n\r\n").await.expect("an end");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn without_an_endpoint_the_answer_says_so_and_when_to_come_again() {
    let origin = Origin::start().await;
    let gone = origin.endpoint();
    drop(origin);
    let usher = Usher::start(&one_pool(&[gone], "")).await;
    let mut client = Client::connect(usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    let page = client.answer().await;
    assert_eq!(page.status, 503);
    assert_eq!(page.field("x-usher-fault"), Some("no_endpoint"));
    assert!(page.field("retry-after").is_some());
    assert!(page.text().contains("<h1>Service Unavailable</h1>"));
    let problem = client.get("/").await;
    assert_eq!(problem.field("content-type"), Some("application/problem+json"));
    let problem_json: serde_json::Value = serde_json::from_slice(&problem.body).expect("JSON");
    assert_eq!(problem_json["fault"], "no_endpoint");
    assert_eq!(problem_json["request_id"], problem.field("x-request-id").expect("an id"));
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["fault=\"no_endpoint\""]), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"failed\""]), 2.0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over_for_one_that_does_not() {
    let (gone, origin) = (Origin::start().await, Origin::start().await);
    let endpoints = [gone.endpoint(), origin.endpoint()];
    drop(gone);
    origin.serve(|_| ok("here"));
    let usher = Usher::start(&one_pool(&endpoints, "")).await;
    let mut client = Client::connect(usher.address()).await;
    for _ in 0..20 {
        client.send("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.answer().await.text(), "here");
    }
    drop(client);
    let samples = usher.stop().await;
    assert!(samples.sum("usher_retries_total", &["connect_failed"]) > 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"served\""]), 20.0);
}

#[tokio::test]
async fn a_get_is_replayed_when_its_reused_connection_had_died_and_a_post_is_not() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("1")).await;
    client.answer().await;
    // usher cannot know that the origin goes away just when it has read the next request.
    client.send(GET).await;
    line.read().await;
    drop(line);
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("2")).await;
    assert_eq!(client.answer().await.text(), "2");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    line.read().await;
    drop(line);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_broke")));
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("3")).await;
    client.answer().await;
    let keyed = "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi";
    client.send(keyed).await;
    line.read().await;
    line.reset();
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.body, b"hi", "a gathered body is sent again");
    line.write(ok("4")).await;
    assert_eq!(client.answer().await.text(), "4");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_retries_total", &["replayed"]), 2.0);
}

#[tokio::test]
async fn a_connection_that_dies_within_an_answer_is_never_a_clean_end() {
    let (origin, usher, mut client) = started("").await;
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nsome\r\n")).await;
        drop(line);
        let answer = client.answer().await;
        assert!(!answer.whole, "{head}: {answer:?}");
        client.closed().await;
        client = Client::connect(usher.address()).await;
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"failed\"", "\"200\""]), 2.0);
}

#[tokio::test]
async fn answers_that_are_not_http_are_a_502() {
    let (origin, usher, mut client) = started("").await;
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "malformed"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "upstream_upgrade"),
        ("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /f\r\nContent-Length: 0\r\n\r\n", "sendfile_answer"),
        ("HTTP/1.1 200 OK\r\nX-Sendfile: /f\r\nContent-Length: 0\r\n\r\n", "sendfile_answer"),
    ];
    for (said, fault) in cases {
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(said).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 502, "{said:?}");
        assert!(answer.field("x-usher-fault").unwrap().contains(fault), "{said:?}: {answer:?}");
        line.closed().await;
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_monolith_that_is_late_is_a_504() {
    let timeouts = "    timeouts: { first_byte: 50ms, total: 10s }\n";
    let (origin, usher, mut client) = started(timeouts).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (504, Some("first_byte_timeout")));
    line.closed().await;
    drop(client);
    usher.stop().await;
    let timeouts = "    timeouts: { first_byte: 10s, total: 50ms }\n";
    let (origin, usher, mut client) = started(timeouts).await;
    client.send(GET).await;
    let line = origin.accept().await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (504, Some("total_timeout")));
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_monolith_that_pauses_too_long_within_its_answer_is_cut() {
    let (origin, usher, mut client) = started("    timeouts: { between_bytes: 50ms }\n").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await;
    assert!(!client.answer().await.whole);
    line.closed().await;
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["between_bytes_timeout"]), 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_abandoned_and_its_request_cancelled() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    client.stream.set_zero_linger().expect("resets");
    drop(client);
    line.closed().await;
    let abandoned = "usher_requests_total{audience=\"everyone\",pool=\"rails\",arm=\"stable\",\
                     status=\"none\",outcome=\"abandoned\"}";
    usher.reaches(abandoned, 1.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0);
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("half-closes");
    line.write(ok("still here")).await;
    assert_eq!(client.answer().await.text(), "still here");
    assert!(client.closed().await.is_empty());
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn early_hints_are_passed_on() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
    let hints = client.head().await.expect("the hints come before the answer");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>; rel=preload")));
    line.write(ok("page")).await;
    assert_eq!(client.answer().await.text(), "page");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_websocket_becomes_a_tunnel_that_holds_no_lease() {
    let (origin, usher, mut client) = started("").await;
    let handshake = "GET /cable HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(handshake).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("connection"), Some("Upgrade"));
    line.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
    )
    .await;
    let switched = client.head().await.expect("a 101");
    assert_eq!((switched.status, switched.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.until(b"hello").await.expect("a first word"), b"hello");
    client.send("ping").await;
    assert_eq!(line.read_exactly(4).await.expect("a word back"), b"ping");
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 1.0).await;
    usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
    assert_eq!(usher.samples().sum("usher_requests_total", &["\"101\"", "served"]), 1.0);
    drop(client);
    line.closed().await;
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 0.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["client"]), 1.0);
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    let (origin, usher, mut client) = started("").await;
    for path in ["/a/../admin", "/%2e%2e/admin", "/a%2f..%2fadmin", "/a%00b", "/a\\b"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        client = Client::connect(usher.address()).await;
    }
    client.send(GET).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/", "the first that the origin hears of");
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["audience=\"none\"", "\"400\""]), 5.0);
}

#[tokio::test]
async fn a_request_that_went_round_in_circles_is_a_508() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    let via = line.read().await.field("via").expect("a via").to_owned();
    line.write(ok("")).await;
    client.answer().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (508, Some("loop_detected")));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 usher-another\r\n\r\n").await;
    line.read().await;
    line.write(ok("")).await;
    assert_eq!(client.answer().await.status, 200, "chained ushers work");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn who_is_not_admitted_does_not_fall_through_to_another_audience() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace(
        "audiences: [",
        "audiences: [{ name: admin, pool: rails, match: [{ path: /admin/** }], \
         only: [{ client: 10.0.0.0/8 }] }, ",
    );
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    let answer = client.get("/admin/reports").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (403, Some("not_admitted")));
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["admin", "not_admitted", "client"]), 1.0);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_accepts_no_more() {
    let (origin, usher, mut client) = started("").await;
    let mut idle = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.stop();
    assert!(idle.closed().await.is_empty(), "an idle connection is closed");
    line.write(ok("in time")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("in time", Some("close")));
    assert!(client.closed().await.is_empty());
    drop((client, idle));
    usher.stop().await;
}
