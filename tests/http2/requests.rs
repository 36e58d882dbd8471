//! What Rails receives of a request over HTTP/2: the same as over HTTP/1.1.

use http::{HeaderMap, Request};

use crate::support::{
    client::Client,
    http2::{Http2, asked, get, scheme, within},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
    wire,
};
use crate::{started, started_with, with_http2};

#[tokio::test]
async fn rails_receives_what_it_would_over_http1() {
    let (origin, usher, mut client) = started("").await;
    let mut request = get("/a%2Fb?x=1&y=%20");
    let headers = request.headers_mut();
    for (name, value) in [
        ("cookie", "a=b"),
        ("cookie", "c=d; e=f"),
        ("cookie", "g=h"),
        ("te", "trailers"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-request-id", "forged"),
        ("x_request_id", "forged"),
        ("x-audience", "admin"),
        ("accept", "*/*"),
    ] {
        headers.append(name, value.parse().expect("a value"));
    }
    let sent = client.begin(request, true).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.line, "GET /a%2Fb?x=1&y=%20 HTTP/1.1");
    assert_eq!(asked.field("host"), Some("shop.example"));
    assert_eq!(asked.field("cookie"), Some("a=b; c=d; e=f; g=h"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.field("x-forwarded-proto"), Some(scheme()));
    assert_eq!(asked.field("x-audience"), Some("everyone"));
    assert_eq!(asked.field("accept"), Some("*/*"));
    assert!(asked.field("via").expect("a via").starts_with("2.0 usher-"));
    for gone in ["te", "http2-settings", "content-length", "transfer-encoding", "x_request_id"] {
        assert_eq!(asked.field(gone), None, "{gone}");
    }
    line.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Usher-Build: 7\r\n\r\nok",
    )
    .await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(answer.field("content-length"), Some("2"));
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert!(answer.field("date").is_some());
    for gone in ["connection", "keep-alive", "x-hop", "x-usher-build", "transfer-encoding"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["status=\"200\"", "\"served\""]), 1.0);
    let dropped = "usher_request_fields_dropped_total{audience=\"everyone\"}";
    assert_eq!(samples.get(dropped), 1.0);
    assert_eq!(samples.sum("usher_http2_connections_closed_total", &["closed"]), 1.0);
}

#[tokio::test]
async fn a_body_without_a_length_is_gathered_and_one_with_trailers_stays_chunked() {
    let (origin, usher, mut client) = started("").await;
    let mut sent = client.begin(asked("POST", "/orders"), false).await;
    sent.send(b"half ", false).await;
    sent.send(b"whole", true).await;
    let mut line = origin.accept().await;
    let received = line.read().await;
    assert_eq!(
        (received.field("content-length"), &*received.body),
        (Some("10"), &b"half whole"[..])
    );
    line.write(ok("")).await;
    assert_eq!(sent.answer().await.status, 200);

    let mut sent = client.begin(asked("POST", "/orders"), false).await;
    sent.send(b"body", false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("a value"));
    trailers.insert("x-forwarded-for", "6.6.6.6".parse().expect("a value"));
    sent.body.send_trailers(trailers).expect("the stream is open");
    let received = line.read().await;
    assert_eq!(received.field("transfer-encoding"), Some("chunked"));
    assert_eq!((&*received.body, &*received.trailers), (&b"body"[..], "x-sum: 1\r\n"));
    line.write(ok("")).await;
    assert_eq!(sent.answer().await.status, 200);
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_streamed_body_without_a_length_goes_on_in_chunks_as_it_comes() {
    let (origin, usher, mut client) = started("    buffer: { request: off }\n").await;
    let mut sent = client.begin(asked("POST", "/orders"), false).await;
    sent.send(b"first", false).await;
    let mut line = origin.accept().await;
    let head = within(line.read_until(b"\r\n\r\n")).await.expect("a head");
    let head = String::from_utf8(head).expect("text").to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(within(line.read_exactly(10)).await.expect("a chunk"), b"5\r\nfirst\r\n");
    sent.send(b"last", true).await;
    let rest = within(line.read_until(b"0\r\n\r\n")).await.expect("the end");
    assert_eq!(rest, b"4\r\nlast\r\n0\r\n\r\n");
    line.write(ok("")).await;
    assert_eq!(sent.answer().await.status, 200);
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn the_same_port_speaks_http1_to_those_who_do() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|asked| ok(asked.target()));
    assert_eq!(client.get("/over/2").await.text(), "/over/2");
    let mut old = Client::connect(usher.address()).await;
    assert_eq!(old.get("/over/1").await.text(), "/over/1");
    // The preface may arrive in pieces, and a method may begin like it.
    for pieces in [["P", "UT / HTTP/1.1\r\n"], ["PRI", "NT / HTTP/1.1\r\n"]] {
        let mut old = Client::connect(usher.address()).await;
        for piece in pieces {
            old.send(piece).await;
            tokio::task::yield_now().await;
        }
        old.send("Host: a\r\n\r\n").await;
        assert_eq!(old.answer().await.status, 200);
    }
    drop((client, old));
    usher.stop().await;
}

#[tokio::test]
async fn without_h2c_a_preface_is_refused_as_it_was_before() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "");
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (400, Some("bad_version")));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn what_http1_refuses_is_refused_here_for_the_same_reason() {
    let (origin, usher, mut client) = started_with("limits: { headers: 20 }", "").await;
    let with = |method: &str, uri: &str, fields: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    };
    let long = "a".repeat(9000);
    let large = "a".repeat(17_000);
    // With the host they are one too many.
    let many: Vec<(String, String)> = (0..20).map(|n| (format!("x-{n}"), n.to_string())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    let home = "http://shop.example/";
    for (request, status, fault) in [
        (with("GET", home, &[("host", "other.example")]), 400, "bad_host"),
        (with("GET", "http://a..b/", &[]), 400, "bad_host"),
        (with("GET", "http://a:99999/", &[]), 400, "bad_host"),
        (with("GET", home, &[("host", "shop.example"), ("host", "shop.example")]), 400, "bad_host"),
        (with("GET", "http://user@shop.example/", &[]), 400, "bad_host"),
        (with("GET", "http://shop.example/a\\b", &[]), 400, "ambiguous_path"),
        (with("GET", "http://shop.example/a/../b", &[]), 400, "ambiguous_path"),
        (with("GET", "http://shop.example/%2e%2e/b", &[]), 400, "ambiguous_path"),
        (with("GET", "http://shop.example/a\"b", &[]), 400, "bad_target"),
        (with("GET", "ftp://shop.example/", &[]), 400, "bad_target"),
        (with("GET", home, &[("x-a", " padded")]), 400, "malformed_head"),
        (with("GET", home, &[("x-a", "padded\t")]), 400, "malformed_head"),
        (with("GET", home, &[("expect", "200-ok")]), 400, "bad_expectation"),
        (with(&"X".repeat(33), home, &[]), 400, "malformed_head"),
        (with("TRACE", home, &[]), 405, "method_not_allowed"),
        (with("GET", &format!("{home}{long}"), &[]), 414, "target_too_long"),
        (with("GET", home, &[("x-a", &large)]), 431, "head_too_large"),
        (with("GET", home, &many), 431, "head_too_large"),
    ] {
        let what = format!("{} {:?} {:?}", request.method(), request.uri(), request.headers());
        let answer = client.ask(request).await;
        let found = (answer.status, answer.field("x-usher-fault"));
        assert_eq!(found, (status, Some(fault)), "{what:.200}");
    }
    if !wire::TLS {
        let answer = client.ask(with("GET", "https://shop.example/", &[])).await;
        assert_eq!((answer.status, answer.field("x-usher-fault")), (400, Some("bad_target")));
    }
    // None of them ended the connection.
    let sent = client.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/", "the first that the origin hears of");
    line.write(ok("")).await;
    assert_eq!(sent.answer().await.status, 200);
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["bad_host", "client"]), 5.0);
    assert_eq!(samples.sum("usher_requests_total", &["audience=\"none\"", "\"431\""]), 2.0);
}

#[tokio::test]
async fn many_crumbs_of_a_cookie_are_one_field() {
    let (origin, usher, mut client) = started_with("limits: { headers: 5 }", "").await;
    let mut request = get("/");
    for n in 0..50 {
        let crumb = format!("c{n}={n}");
        request.headers_mut().append("cookie", crumb.parse().expect("a value"));
    }
    let sent = client.begin(request, true).await;
    let mut line = origin.accept().await;
    let received = line.read().await;
    let cookie = received.field("cookie").expect("a cookie");
    assert!(cookie.starts_with("c0=0; c1=1; ") && cookie.ends_with("; c49=49"), "{cookie}");
    line.write(ok("")).await;
    assert_eq!(sent.answer().await.status, 200);
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_graphql_operation_in_a_body_chooses_the_audience() {
    let origin = Origin::start().await;
    let orders = "audiences: [{ name: orders, pool: rails, \
                  match: [{ path: /graphql, graphql: { operation: PlaceOrder } }] }, ";
    let text = one_pool(&[origin.endpoint()], "").replace("audiences: [", orders)
        + "graphql: { body: 1KiB }\n";
    let usher = Usher::start(&with_http2(&text, "")).await;
    origin.serve(|asked| {
        let audience = asked.field("x-audience").expect("an audience");
        ok(&format!("{audience} {}", asked.body.len()))
    });
    let mut client = Http2::connect(usher.address()).await;
    for (operation, filler, audience) in [
        ("PlaceOrder", 10, "orders"),
        ("Menu", 10, "everyone"),
        ("PlaceOrder", 200_000, "everyone"),
    ] {
        let mut request = asked("POST", "/graphql");
        let json = "application/json".parse().expect("a value");
        request.headers_mut().insert("content-type", json);
        let body = format!(r#"{{"operationName":"{operation}","x":"{}"}}"#, "x".repeat(filler));
        let mut sent = client.begin(request, false).await;
        let (first, rest) = body.as_bytes().split_at(20);
        sent.send(first, false).await;
        sent.send(rest, true).await;
        assert_eq!(sent.answer().await.text(), format!("{audience} {}", body.len()));
    }
    drop(client);
    usher.stop().await;
}
