//! How usher says what it has to say itself.

use std::fs;

use crate::started;
use crate::support::{
    client::{Answer, Client},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
    wire,
};

const HTML: &str = "Accept: text/html,application/xhtml+xml\r\n";

/// The answer to `request` alone.
async fn told(usher: &Usher, request: &str) -> Answer {
    let mut client = Client::connect(usher.address()).await;
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn a_browser_gets_a_page_and_a_program_a_problem_also_when_the_door_refuses() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "")
        + "limits: { head: 1KiB, target: 512B, head_wait: 200ms, body: 1KiB }\n";
    let usher = Usher::start(&text).await;
    let long = "a".repeat(600);
    let only_http1 = [
        (400, "GET / HTTP/1.1\r\n@Host: a b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n@Host: a\r\nX : y\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\n@Transfer-Encoding: gzip\r\n\r\n".to_owned()),
        (400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n@\r\n".to_owned()),
        (408, "GET / HTTP/1.1\r\nHost: a\r\n@X: ".to_owned()),
    ];
    let cases = [
        (400, "GET /../x HTTP/1.1\r\nHost: a\r\n@\r\n".to_owned()),
        (405, "TRACE / HTTP/1.1\r\nHost: a\r\n@\r\n".to_owned()),
        (413, "POST / HTTP/1.1\r\nHost: a\r\n@Content-Length: 2000\r\n\r\n".to_owned()),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n@X: {long}\r\nY: {long}\r\n\r\n")),
    ];
    let only_http1 = only_http1.into_iter().filter(|_| !wire::HTTP2);
    for (status, head) in only_http1.chain(cases) {
        let problem = told(&usher, &head.replace('@', "")).await;
        let page = told(&usher, &head.replace('@', HTML)).await;
        assert_eq!((problem.status, page.status), (status, status), "{head:?}");
        let kind = |answer: &Answer| answer.field("content-type").map(str::to_owned);
        assert_eq!(kind(&problem).as_deref(), Some("application/problem+json"), "{head:?}");
        assert_eq!(kind(&page).as_deref(), Some("text/html; charset=utf-8"), "{head:?}");
        let id = page.field("x-request-id").expect("an id");
        assert!(page.text().contains(id) && page.text().contains("<h1>"), "{}", page.text());
    }
    // Nothing but the target has been read when it is too long; over HTTP/2 all has been.
    let unread = told(&usher, &format!("GET /{long} HTTP/1.1\r\n{HTML}Host: a\r\n\r\n")).await;
    let kind = if wire::HTTP2 { "text/html; charset=utf-8" } else { "application/problem+json" };
    assert_eq!((unread.status, unread.field("content-type")), (414, Some(kind)));
    usher.stop().await;
}

#[tokio::test]
async fn the_header_that_names_a_fault_can_be_turned_off() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "") + "fault_header: off\n";
    let usher = Usher::start(&text).await;
    let refused = ["GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"];
    // Without a host there is no request over HTTP/2.
    for request in &refused[..if wire::HTTP2 { 1 } else { 2 }] {
        let answer = told(&usher, request).await;
        assert_eq!((answer.status, answer.field("x-usher-fault")), (400, None), "{answer:?}");
        assert!(answer.field("x-request-id").is_some());
    }
    usher.stop().await;
}

#[tokio::test]
async fn an_audience_has_a_page_of_its_own_for_browsers() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("sorry.html");
    fs::write(&page, "<p>We are cooking.</p>").expect("written");
    let text = one_pool(&[origin.endpoint()], "").replace(
        "{ name: everyone, pool: rails }",
        &format!(
            "{{ name: kitchen, pool: rails, match: [{{ path: /kitchen }}], page: '{}' }}, \
             {{ name: everyone, pool: rails }}",
            page.display()
        ),
    );
    let usher = Usher::start(&text).await;
    drop(origin);
    let get = |path: &str, accept: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n{accept}Connection: close\r\n\r\n")
    };
    let own = told(&usher, &get("/kitchen", HTML)).await;
    assert_eq!((own.status, own.text()), (503, "<p>We are cooking.</p>"));
    assert_eq!(own.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(own.field("x-request-id").is_some() && own.field("retry-after").is_some());
    let program = told(&usher, &get("/kitchen", "")).await;
    assert!(program.text().contains("no_endpoint"), "{}", program.text());
    let others = told(&usher, &get("/", HTML)).await;
    assert!(others.text().contains("<h1>Service Unavailable</h1>"), "{}", others.text());
    let head = get("/kitchen", HTML).replace("GET", "HEAD");
    let mut client = Client::connect(usher.address()).await;
    client.send(head).await;
    let head = client.answer_to_head().await;
    assert_eq!(head.field("content-length"), Some("22"));
    assert!(client.closed().await.is_empty());
    usher.stop().await;
}

#[tokio::test]
async fn what_the_monolith_says_keeps_its_own_form() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|_| ok("{}"));
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{HTML}\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("x-usher-fault")), ("{}", None));
    drop(client);
    usher.stop().await;
}
