//! Input that must not pass: the refusal's fault, the close, and that nothing reached the service.

use proptest::prelude::*;
use usher::{edge::h1::Rules, fault::Fault};

use crate::kit::{serve, serve_by, serve_with};

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Sends `input` and a further request: one answer, the right fault, a close, and nothing passed.
async fn refused(input: &[u8], fault: Fault) {
    let shown = input.escape_ascii().to_string();
    let mut served = serve().await;
    served.send([input, NEXT.as_bytes()].concat()).await;
    let text = served.read_to_end().await;
    let status = format!("HTTP/1.1 {} ", fault.status().as_u16());
    assert!(text.starts_with(&status), "{shown}: {text:?}");
    assert!(text.contains("connection: close\r\n"), "{shown}: {text:?}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{shown}: {text:?}");
    assert_eq!(served.book.faults(), [fault], "{shown}");
    assert!(served.book.requests().is_empty(), "{shown}");
    drop(served.client);
    served.task.await.expect("no panic");
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;ext=1",
        "Transfer-Encoding:\r\nContent-Length: 5",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: chunked\u{80}",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 0o5",
        "Content-Length: 1_0",
        "Content-Length: 1 0",
        "Content-Length: 5 5",
        "Content-Length: 1Z",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
        "content-length: 5\r\nCONTENT-LENGTH: 5",
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        refused(input.as_bytes(), Fault::BadFraming).await;
    }
    refused(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::BadFraming,
    )
    .await;
}

#[tokio::test]
async fn a_malformed_head_is_refused() {
    for input in [
        &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: X\rTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\x0c\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\r",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA[: v\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA\0: v\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA\x85: v\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCaf\xc3\xa9: v\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\0\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        refused(input, Fault::MalformedHead).await;
    }
}

#[tokio::test]
async fn other_versions_are_refused() {
    for line in [
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTP/11.1",
        "PRI * HTTP/2.0",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
    ] {
        refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), Fault::BadVersion).await;
    }
}

#[tokio::test]
async fn a_host_must_be_one_and_valid() {
    refused(b"GET / HTTP/1.1\r\n\r\n", Fault::BadHost).await;
    refused(b"GET / HTTP/1.0\r\n\r\n", Fault::BadHost).await;
    for fields in [
        "Host: a\r\nHost: a",
        "Host: a\r\nHost: b",
        "Host: a, b",
        "Host:",
        "Host: a:8080:9090",
        "Host: a b",
        "Host: a/b",
        "Host: a?b",
        "Host: user@a",
        "Host: [::1",
        "Host: a..b",
        "Host: a:99999",
        "Host: a%00b",
    ] {
        refused(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes(), Fault::BadHost).await;
    }
}

#[tokio::test]
async fn a_target_must_be_one_of_ours() {
    for target in [
        "*",
        "host:80",
        "admin",
        "admin/a",
        "ftp://a/",
        "http://b/",
        "https://a:1/",
        "http://u:p@a/",
        "/a#b",
        "/\"",
        "/<",
        "/{",
        "http:///",
        "/a?<",
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(input.as_bytes(), Fault::BadTarget).await;
    }
    refused(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BadTarget).await;
    refused(b"GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BadTarget).await;
    refused(b"OPTIONS */x HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BadTarget).await;
    refused(b"GET /a\\..\\admin HTTP/1.1\r\nHost: a\r\n\r\n", Fault::AmbiguousPath).await;
}

#[tokio::test]
async fn what_a_proxy_must_not_forward_is_refused() {
    for (head, fault) in [
        ("CONNECT host:443 HTTP/1.1\r\nHost: host:443", Fault::MethodNotAllowed),
        ("CONNECT / HTTP/1.1\r\nHost: a", Fault::MethodNotAllowed),
        ("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3", Fault::MethodNotAllowed),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok",
            Fault::BadExpectation,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Content-Length: 3",
            Fault::BadUpgrade,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade",
            Fault::BadUpgrade,
        ),
    ] {
        refused(format!("{head}\r\n\r\n").as_bytes(), fault).await;
    }
}

#[tokio::test]
async fn limits_of_a_head_are_kept() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8 * 1024));
    refused(long.as_bytes(), Fault::TargetTooLong).await;
    let endless = format!("GET /{}", "a".repeat(64 * 1024));
    refused(endless.as_bytes(), Fault::TargetTooLong).await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    refused(many.as_bytes(), Fault::HeadTooLarge).await;
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(17 * 1024));
    refused(large.as_bytes(), Fault::HeadTooLarge).await;
    let name = format!("GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n", "b".repeat(70 * 1024));
    refused(name.as_bytes(), Fault::HeadTooLarge).await;

    let rules = Rules { headers: 200, head_bytes: 64 * 1024, ..Rules::default() };
    let mut served = serve_by(rules).await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(199));
    served.send(many).await;
    served.read_until("ok").await;
    assert_eq!(served.book.requests()[0].headers.len(), 200);
}

#[tokio::test]
async fn odd_and_legitimate_input_passes() {
    for (head, line) in [
        ("\r\nGET / HTTP/1.1\r\nHost: a", "GET /"),
        ("get / HTTP/1.1\r\nHost: a", "get /"),
        ("PURGE /x HTTP/1.1\r\nHost: a", "PURGE /x"),
        ("GET http://A/x?y HTTP/1.1\r\nHost: a", "GET /x?y"),
        ("OPTIONS * HTTP/1.1\r\nHost: a", "OPTIONS *"),
        ("GET //admin?a={b|c}^d HTTP/1.1\r\nHost: a", "GET //admin?a={b|c}^d"),
        ("GET / HTTP/1.1\r\nHost:a:80\r\nX: \u{e9}\t\u{e9} \r\nY:", "GET /"),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0", "GET /"),
    ] {
        let mut served = serve().await;
        served.send(format!("{head}\r\n\r\n")).await;
        served.read_until("ok").await;
        assert_eq!(served.book.lines(), [line], "{head}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_no_websocket_goes_on_as_plain_http() {
    let mut served = serve().await;
    served
        .send(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, x-a\r\n\
              Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    served.read_until("ok").await;
    let seen = served.book.requests().remove(0);
    assert!(!seen.headers.contains_key("upgrade") && !seen.headers.contains_key("http2-settings"));
    assert_eq!(seen.headers["connection"], "x-a");
}

#[tokio::test]
async fn names_with_an_underscore_are_dropped_and_counted() {
    let mut served = serve_with(Rules::default(), |request, book| async move {
        let dropped = request.extensions().get::<usher::proxy::DroppedNames>().copied();
        assert_eq!(dropped, Some(usher::proxy::DroppedNames(2)));
        crate::kit::echo(request, &book).await
    })
    .await;
    served
        .send(
            b"GET / HTTP/1.1\r\nHost: a\r\nX_Audience: admin\r\nContent_Length: 5\r\n\
              X-A: b\r\n\r\n",
        )
        .await;
    served.read_until("ok").await;
    assert_eq!(served.book.requests()[0].headers.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_bytes_make_the_door_panic(
        pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![
                "GET ", "POST ", "/", "/a?b ", " HTTP/1.1\r\n", "HTTP/1.0", "\r\n", "\r\n\r\n",
                "Host: a\r\n",
                "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
                "Connection: upgrade\r\n",
                "Upgrade: websocket\r\n", "Expect: 100-continue\r\n", "5\r\nhello\r\n",
                "0\r\n\r\n", ":", " ", "\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ], 0..24),
    ) {
        runtime().block_on(async {
            use tokio::io::AsyncWriteExt;
            let mut served = serve().await;
            let _ = served.client.write_all(&pieces.concat()).await;
            let _ = served.client.shutdown().await;
            served.read_to_end().await;
            served.over().await;
        });
    }

    #[test]
    fn a_valid_request_reads_as_it_was_written(
        method in "[A-Z]{1,10}",
        path in "/[a-zA-Z0-9/._~%;=-]{0,30}",
        query in prop::option::of("[a-zA-Z0-9/?&=+{}|^-]{0,30}"),
        fields in prop::collection::vec(
            ("x-[a-z0-9-]{1,20}", "[!-~\u{80}-\u{ff}]([ -~]{0,20}[!-~])?"),
            0..10,
        ),
        body in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assume!(method != "CONNECT" && method != "TRACE");
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut text = format!("{method} {path}{query} HTTP/1.1\r\nHost: a.example\r\n");
        for (name, value) in &fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", body.len());
        let bytes = [text.as_bytes(), &body].concat();
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        let seen = runtime().block_on(async {
            let mut served = serve().await;
            served.send(first).await;
            tokio::task::yield_now().await;
            served.send(second).await;
            let end = if method == "HEAD" { "\r\n\r\n" } else { "ok" };
            served.read_until(end).await;
            served.book.requests().remove(0)
        });
        prop_assert_eq!(seen.line, format!("{method} {path}{query}"));
        prop_assert_eq!(seen.body, Ok(body));
        prop_assert_eq!(seen.headers.len(), fields.len() + 2);
        for (name, value) in &fields {
            let found = seen.headers.get_all(name).iter().any(|v| v.as_bytes() == value.as_bytes());
            prop_assert!(found, "{}", name);
        }
    }
}
