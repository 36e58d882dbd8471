//! Clients that are known again: by what they say, or by what usher told them.

use std::collections::BTreeSet;

use crate::support::{
    client::{Answer, Client},
    origin::{Asked, Origin},
    usher::{Usher, one_pool},
    wire,
};
use crate::websocket::opened;

const TOLD: &str = "usher_sticky_cookies_total{audience=\"everyone\"}";
const COOKIE: &str = "sticky: { header: X-Device-Id, cookie: { name: _usher, max_age: 1d } }\n";

/// What Rails says of an answer that is for its client alone, and `body`.
fn private(body: &str) -> Vec<u8> {
    saying("Cache-Control: max-age=0, private, must-revalidate\r\n", body)
}

fn saying(lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// usher in front of six origins, each of which says who it is and what cookie it was sent.
async fn six(sticky: &str) -> Usher {
    let mut endpoints = Vec::new();
    for name in 0..6 {
        let origin = Origin::start().await;
        endpoints.push(origin.endpoint());
        origin.serve(move |asked: &Asked| {
            private(&format!("{name} {}", asked.field("cookie").unwrap_or("-")))
        });
    }
    let text = one_pool(&endpoints, "    balance: hash sticky\n") + sticky;
    Usher::start(&text).await
}

/// Asks on a connection of its own.
async fn ask(usher: &Usher, lines: &str) -> Answer {
    let mut client = Client::connect(usher.address()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
    client.answer().await
}

/// The cookie that `answer` sets, as it is to be sent, and all that is said with it.
fn told(answer: &Answer) -> Option<(String, String)> {
    let set = answer.field("set-cookie")?;
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    Some((format!("Cookie: {pair}\r\n"), attributes.to_owned()))
}

fn endpoint(answer: &Answer) -> &str {
    answer.text().split(' ').next().expect("a name")
}

#[tokio::test]
async fn a_visitor_is_told_once_who_it_is_and_stays_where_its_first_request_went() {
    let usher = six(COOKIE).await;
    let secure = if wire::TLS { "; Secure" } else { "" };
    let mut met = BTreeSet::new();
    for _ in 0..16 {
        let first = ask(&usher, "").await;
        let (cookie, attributes) = told(&first).expect("a cookie");
        let expected = format!("Path=/; Max-Age=86400; HttpOnly; SameSite=Lax{secure}");
        assert_eq!(attributes, expected);
        assert!(first.text().ends_with(" -"), "Rails sees what the client sent: {}", first.text());
        for _ in 0..4 {
            let again = ask(&usher, &cookie).await;
            assert_eq!(endpoint(&again), endpoint(&first));
            assert!(told(&again).is_none());
            let sent = cookie.trim_end().trim_start_matches("Cookie: ");
            assert!(again.text().ends_with(sent), "it reaches Rails as it is");
        }
        met.insert(endpoint(&first).to_owned());
    }
    assert!(met.len() > 2, "visitors are spread: {met:?}");
    assert_eq!(usher.samples().get(TOLD), 16.0);
    usher.stop().await;
}

#[tokio::test]
async fn a_device_needs_no_cookie_and_a_cookie_that_usher_did_not_set_is_replaced() {
    let usher = six(COOKIE).await;
    for device in 0..8 {
        let lines = format!("X-Device-Id: {device}\r\n");
        let answers = [
            ask(&usher, &lines).await,
            ask(&usher, &format!("{lines}Cookie: _usher=x\r\n")).await,
            ask(&usher, &lines).await,
        ];
        let met: BTreeSet<&str> = answers.iter().map(endpoint).collect();
        assert_eq!(met.len(), 1, "{device}");
        assert!(answers.iter().all(|answer| told(answer).is_none()));
    }
    let good = "0123456789abcdef0123456789abcdef";
    for (value, replaced) in [
        (good.to_owned(), false),
        (good.to_uppercase(), true),
        (format!("{good}0"), true),
        ("admin".to_owned(), true),
        (String::new(), true),
    ] {
        let answer = ask(&usher, &format!("Cookie: a=b; _usher={value}\r\n")).await;
        assert_eq!(told(&answer).is_some(), replaced, "{value}");
    }
    usher.stop().await;
}

#[tokio::test]
async fn no_cookie_is_set_where_it_could_reach_others_or_nothing_asks_for_it() {
    for (pool, said, set) in [
        ("    balance: hash sticky\n", "Cache-Control: private\r\n", true),
        ("    balance: hash sticky\n", "Cache-Control: public, max-age=60\r\n", false),
        ("    balance: hash sticky\n", "", false),
        ("    balance: hash user or sticky\n", "Cache-Control: no-store\r\n", true),
        ("    balance: hash client\n", "Cache-Control: private\r\n", false),
        ("", "Cache-Control: private\r\n", false),
    ] {
        let origin = Origin::start().await;
        let usher = Usher::start(&(one_pool(&[origin.endpoint()], pool) + COOKIE)).await;
        origin.serve(move |_| saying(said, ""));
        let answer = ask(&usher, "").await;
        assert_eq!(told(&answer).is_some(), set, "{pool} {said}");
        usher.stop().await;
    }
}

#[tokio::test]
async fn neither_a_tunnel_nor_what_usher_says_itself_sets_a_cookie() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "    balance: hash sticky\n") + COOKIE;
    let usher = Usher::start(&text).await;
    let (client, line) = opened(&origin, &usher).await;
    assert_eq!(usher.samples().get(TOLD), 0.0);
    drop((client, line, origin));
    let answer = ask(&usher, "").await;
    assert_eq!((answer.status, answer.field("set-cookie")), (503, None));
    assert_eq!(usher.stop().await.get(TOLD), 0.0);
}

#[tokio::test]
async fn a_cookie_that_the_application_sets_is_read_and_never_set() {
    let usher = six("sticky: { cookie: { name: visitor, set: off } }\n").await;
    for visitor in ["anna", "ben", "100%25"] {
        let lines = format!("Cookie: visitor={visitor}\r\n");
        let first = ask(&usher, &lines).await;
        for _ in 0..4 {
            assert_eq!(endpoint(&ask(&usher, &lines).await), endpoint(&first), "{visitor}");
        }
        assert!(told(&first).is_none());
    }
    assert!(told(&ask(&usher, "").await).is_none());
    assert_eq!(usher.stop().await.get(TOLD), 0.0);
}
