//! What operators order while requests are open on a connection: who waits holds nobody else up.

use serde_json::json;

use crate::{
    support::{
        http2::{Http2, get},
        orders::done,
        origin::{Line, Origin, ok},
        usher::{Usher, one_pool},
    },
    with_http2,
};

const WAITING: &str = "usher_paused_requests{kind=\"audience\",target=\"admins\"}";

/// Two audiences with a pool, and admins are those who ask for `/admin`.
fn text(endpoints: &[String]) -> String {
    let text = with_http2(&one_pool(endpoints, ""), "");
    text.replace(
        "audiences: [",
        "audiences: [{ name: admins, pool: rails, match: [{ path: /admin/** }] }, ",
    )
}

/// usher in front of `origin`, and a client.
async fn opened(origin: &Origin) -> (Usher, Http2) {
    let usher = Usher::start(&text(&[origin.endpoint()])).await;
    let client = Http2::connect(usher.address()).await;
    (usher, client)
}

#[tokio::test]
async fn paused_requests_wait_beside_those_of_others_on_the_same_connection() {
    let origin = Origin::start().await;
    let (usher, mut client) = opened(&origin).await;
    origin.serve(|asked| ok(asked.target()));
    done(&usher, "pause", json!({ "target": "admins" })).await;
    let mut paused = Vec::new();
    for number in 0..20 {
        paused.push(client.begin(get(&format!("/admin/{number}")), true).await);
    }
    usher.reaches(WAITING, 20.0).await;
    for number in 0..50 {
        let target = format!("/{number}");
        assert_eq!(client.get(&target).await.text(), target, "nobody else waits");
    }
    assert_eq!(usher.samples().get("usher_pool_in_flight{pool=\"rails\"}"), 0.0);
    // One is taken back, which is nobody's end but its own.
    let mut gone = paused.pop().expect("there are some");
    gone.body.send_reset(h2::Reason::CANCEL);
    usher.reaches(WAITING, 19.0).await;
    done(&usher, "resume", json!({ "target": "admins" })).await;
    for (number, sent) in paused.into_iter().enumerate() {
        assert_eq!(sent.answer().await.text(), format!("/admin/{number}"));
    }
    drop((client, gone));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 69.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"abandoned\""]), 1.0);
}

#[tokio::test]
async fn maintenance_answers_the_next_requests_and_leaves_those_that_are_open() {
    let origin = Origin::start().await;
    let (usher, mut client) = opened(&origin).await;
    let open = client.begin(get("/admin/open"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    done(&usher, "maintenance", json!({ "target": "admins", "for": "1h" })).await;
    let refused =
        [client.begin(get("/admin/1"), true).await, client.begin(get("/admin"), true).await];
    for refused in refused {
        let answer = refused.answer().await;
        assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("maintenance")));
        assert!(answer.field("retry-after").is_some());
    }
    let other = client.begin(get("/"), true).await;
    let mut second = origin.accept().await;
    second.read().await;
    second.write(ok("other")).await;
    assert_eq!(other.answer().await.text(), "other");
    line.write(ok("open")).await;
    assert_eq!(open.answer().await.text(), "open");
    done(&usher, "resume", json!({ "target": "admins" })).await;
    origin.serve(|_| ok("again"));
    drop((line, second));
    assert_eq!(client.get("/admin/1").await.text(), "again");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_drained_endpoint_finishes_what_is_open_and_gets_nothing_of_the_same_connection() {
    let origins = [Origin::start().await, Origin::start().await];
    let usher = Usher::start(&text(&origins.each_ref().map(Origin::endpoint))).await;
    let mut client = Http2::connect(usher.address()).await;
    let mut open = Vec::new();
    let mut lines: [Vec<Line>; 2] = Default::default();
    // As many as it takes until both have some.
    while lines.iter().any(Vec::is_empty) {
        open.push(client.begin(get("/"), true).await);
        let (at, mut line) = tokio::select! {
            line = origins[0].accept() => (0, line),
            line = origins[1].accept() => (1, line),
        };
        line.read().await;
        lines[at].push(line);
    }
    done(&usher, "drain", json!({ "target": origins[0].endpoint() })).await;
    for _ in 0..10 {
        open.push(client.begin(get("/"), true).await);
        let mut line = origins[1].accept().await;
        line.read().await;
        lines[1].push(line);
    }
    for line in lines.iter_mut().flatten() {
        line.write(ok("whole")).await;
    }
    for sent in open {
        assert_eq!(sent.answer().await.text(), "whole");
    }
    for line in &mut lines[0] {
        assert!(line.try_read().await.is_none(), "its connections close");
    }
    drop((client, lines));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"failed\""]), 0.0);
}
