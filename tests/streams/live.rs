//! Streams that live: events one by one, and WebSockets.

use std::process::Command;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{Pair, support::origin::PATIENCE};

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_written() {
    let pair = Pair::start(3, "").await;
    let answer = pair.open(Method::GET, "/sse?channel=kitchen").await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.into_body();
    assert_eq!(event(&mut stream).await.unwrap(), "data: hello\n\n");
    for text in ["first", "second"] {
        let push = format!("/sse/push?channel=kitchen&data={text}");
        assert_eq!(pair.text(Method::POST, &push).await, r#"{"heard":1}"#);
        assert_eq!(event(&mut stream).await.unwrap(), format!("data: {text}\n\n"));
    }
    pair.text(Method::POST, "/sse/push?channel=kitchen&close=1").await;
    assert_eq!(event(&mut stream).await, None);
    drop(stream);
    let samples = pair.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 4.0);
}

#[tokio::test]
async fn action_cables_own_client_hears_its_echo() {
    let pair = Pair::start(2, "").await;
    let url = format!("ws://{}/cable", pair.usher.0.clients);
    let cable = |origin| {
        Command::new("node")
            .env("NODE_PATH", "/usr/share/nodejs")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails/client/cable.js"))
            .args([url.as_str(), origin, "one", "two"])
            .output()
            .unwrap()
    };
    let heard = cable("http://localhost:1");
    assert!(heard.status.success(), "{heard:?}");
    let lines: Vec<_> = str::from_utf8(&heard.stdout).unwrap().lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], r#"{"pool":"customer","echo":"two"}"#);

    let refused = cable("http://stranger.example");
    assert_eq!(str::from_utf8(&refused.stderr).unwrap(), "answered 404\n");

    let samples = pair.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"101\"", "served"]), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"404\"", "served"]), 1.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &[]), 1.0);
}

/// The next piece of the stream as it arrives; `None` at its end.
async fn event(stream: &mut Incoming) -> Option<String> {
    let frame = timeout(PATIENCE, stream.frame()).await.expect("it comes in time")?;
    Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
}
