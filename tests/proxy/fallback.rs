//! Going to another pool when an audience's own cannot take a request.

use serde_json::json;

use crate::support::{
    client::Client,
    orders::done,
    origin::{Closed, Line, Origin, ok},
    usher::{Usher, listener_tls},
};
use crate::{GET, websocket};

const HERE: &str = "usher_fallback_in_flight{audience=\"everyone\",pool=\"other\"}";

/// An audience with a pool of one slot and no queue, and two of another pool's five.
fn text(own: &str, other: &str, more: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:0{} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\nworkers: 2\n\
         drain: {{ grace: 0s, requests: 1s, tunnels: 1s }}\n\
         trusted_proxies: [127.0.0.0/8]\n\
         audiences:\n\
         - {{ name: other, match: [{{ path: /other }}], pool: other }}\n\
         - name: everyone\n  \
           pool: rails\n  \
           fallback: {{ pool: other, share: 40% }}\n\
         pools:\n  \
           rails: {{ endpoints: [{own}], capacity: 1, queue: {{ length: 0 }}{more} }}\n  \
           other: {{ endpoints: [{other}], capacity: 5 }}\n",
        listener_tls()
    )
}

/// A request of a new client, which has reached `origin`.
async fn asked(usher: &Usher, origin: &Origin, request: &str) -> (Client, Line) {
    let mut client = Client::connect(usher.address()).await;
    client.send(request).await;
    let mut line = origin.accept().await;
    line.read().await;
    (client, line)
}

#[tokio::test]
async fn where_the_queue_is_full_another_pool_gives_its_share_and_not_a_slot_more() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    let (mut first, mut line) = asked(&usher, &own, GET).await;
    let mut away = Vec::new();
    for _ in 0..2 {
        away.push(asked(&usher, &other, GET).await);
    }
    assert_eq!(usher.samples().get(HERE), 2.0);
    let status = usher.remote.status();
    let audience = status.audiences.iter().find(|it| it.name == "everyone").expect("it is shown");
    let shown = audience.fallback.as_ref().expect("it has one");
    assert_eq!((&*shown.pool, shown.share, shown.in_flight), ("other", 0.4, 2));
    assert_eq!((shown.taken, shown.refused), (2, 0));
    let problems = status.problems;
    let told = "audience everyone falls back to pool other and holds 2 slots there";
    assert!(problems.iter().any(|problem| problem == told), "{problems:?}");
    let mut refused = Client::connect(usher.address()).await;
    refused.send(GET).await;
    assert_eq!(refused.answer().await.field("x-usher-fault"), Some("queue_full"));
    for (client, line) in &mut away {
        line.write(ok("away")).await;
        assert_eq!(client.answer().await.text(), "away");
    }
    usher.reaches(HERE, 0.0).await;
    line.write(ok("own")).await;
    assert_eq!(first.answer().await.text(), "own");
    first.send(GET).await;
    line.read().await;
    line.write(ok("own again")).await;
    assert_eq!(first.answer().await.text(), "own again", "its own pool comes first");
    drop((first, line, away, refused));
    let samples = usher.stop().await;
    let count = |result: &str| samples.sum("usher_fallbacks_total", &[result]);
    assert_eq!([count("taken"), count("share_used"), count("no_slot")], [2.0, 1.0, 0.0]);
    assert_eq!(samples.sum("usher_requests_total", &["rails", "served"]), 4.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &["\"other\""]), 2.0);
}

#[tokio::test]
async fn where_nobody_listens_another_pool_takes_even_a_post_with_its_body() {
    let (own, other) = (Closed::bind(), Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    drop(own);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: posted\r\nContent-Length: 2\r\n\r\nhi";
    let mut client = Client::connect(usher.address()).await;
    client.send(post).await;
    let mut line = other.accept().await;
    let seen = line.read().await;
    assert_eq!((&*seen.body, seen.field("x-audience")), (&b"hi"[..], Some("everyone")));
    line.write(ok("taken")).await;
    assert_eq!(client.answer().await.text(), "taken");
    // The last endpoint of a pool is never ejected: each of these tries it first.
    for _ in 0..3 {
        client.send(GET).await;
        line.read().await;
        line.write(ok("taken")).await;
        assert_eq!(client.answer().await.text(), "taken");
    }
    let mut control = Client::plain(usher.addresses.control.expect("a port")).await;
    control.send("GET /api/v1/requests/posted HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let told: serde_json::Value =
        serde_json::from_str(control.answer().await.text()).expect("JSON");
    assert_eq!(told["requests"][0]["fallback"], "other");
    assert_eq!(told["requests"][0]["attempts"][0]["ended"], "no_connection");
    drop((client, control, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 4.0);
    assert_eq!(samples.sum("usher_fallbacks_total", &["taken"]), 4.0);
    assert_eq!(samples.get(HERE), 0.0);
}

#[tokio::test]
async fn a_guest_whose_client_leaves_holds_its_place_until_the_monolith_is_done() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    let (first, line) = asked(&usher, &own, GET).await;
    let (left, mut guest) = asked(&usher, &other, GET).await;
    left.reset();
    usher.reaches("usher_pool_orphans{pool=\"other\"}", 1.0).await;
    assert_eq!(usher.samples().get(HERE), 1.0);
    guest.write(ok("nobody hears this")).await;
    usher.reaches(HERE, 0.0).await;
    usher.reaches("usher_pool_orphans{pool=\"other\"}", 0.0).await;
    drop((first, line, guest));
    usher.stop().await;
}

#[tokio::test]
async fn what_was_sent_goes_nowhere_else_and_guests_never_wait() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let (mut client, line) = asked(&usher, &own, post).await;
    line.reset();
    assert_eq!(client.answer().await.field("x-usher-fault"), Some("upstream_broke"));
    // Its slot comes back a moment after its answer.
    usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
    let (first, line) = asked(&usher, &own, GET).await;
    let mut hosts = Vec::new();
    for _ in 0..5 {
        hosts.push(asked(&usher, &other, "GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    client.send(GET).await;
    assert_eq!(client.answer().await.field("x-usher-fault"), Some("queue_full"));
    drop((client, first, line, hosts));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_fallbacks_total", &["no_slot"]), 1.0);
    assert_eq!(samples.sum("usher_fallbacks_total", &["taken"]), 0.0);
}

#[tokio::test]
async fn a_pool_that_is_paused_or_closed_for_maintenance_takes_no_guests() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    let (first, line) = asked(&usher, &own, GET).await;
    let mut client = Client::connect(usher.address()).await;
    for verb in ["pause", "maintenance"] {
        done(&usher, verb, json!({ "target": "pool:other" })).await;
        client.send(GET).await;
        let refused = client.answer().await;
        assert_eq!(refused.field("x-usher-fault"), Some("queue_full"), "{verb}");
        done(&usher, "resume", json!({ "target": "pool:other" })).await;
    }
    client.send(GET).await;
    let mut guest = other.accept().await;
    guest.read().await;
    guest.write(ok("open again")).await;
    assert_eq!(client.answer().await.text(), "open again");
    drop((client, first, line, guest));
    usher.stop().await;
}

#[tokio::test]
async fn a_guest_becomes_a_tunnel_and_leaves_its_place() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&text(&own.endpoint(), &other.endpoint(), "")).await;
    let (first, line) = asked(&usher, &own, GET).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(websocket::valid()).await;
    let mut guest = other.accept().await;
    let handshake = guest.read().await;
    assert_eq!(usher.samples().get(HERE), 1.0);
    guest.write(websocket::agreement_to(&handshake)).await;
    assert_eq!(client.head().await.expect("a 101").status, 101);
    usher.reaches(HERE, 0.0).await;
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 1.0).await;
    drop((client, first, line, guest));
    usher.stop().await;
}

#[tokio::test]
async fn where_it_is_to_wait_for_an_endpoint_it_goes_away_only_after_its_wait() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let text = text(&own.endpoint(), &other.endpoint(), ", when_empty: wait");
    let queue = "queue: { length: 4, wait: 300ms }";
    let usher = Usher::start(&text.replace("queue: { length: 0 }", queue)).await;
    done(&usher, "drain", json!({ "target": own.endpoint(), "last": true })).await;
    let (mut client, mut line) = asked(&usher, &other, GET).await;
    let waited = usher.samples().sum("usher_queue_wait_seconds_sum", &["\"rails\""]);
    assert!(waited >= 0.3, "{waited} s");
    line.write(ok("in the end")).await;
    assert_eq!(client.answer().await.text(), "in the end");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_fallbacks_total", &["taken"]), 1.0);
}

#[tokio::test]
async fn where_it_is_to_wait_for_an_endpoint_one_that_comes_back_in_time_takes_it() {
    let (own, other) = (Origin::start().await, Origin::start().await);
    let text = text(&own.endpoint(), &other.endpoint(), ", when_empty: wait");
    let queue = "queue: { length: 4, wait: 20s }";
    let usher = Usher::start(&text.replace("queue: { length: 0 }", queue)).await;
    done(&usher, "drain", json!({ "target": own.endpoint(), "last": true })).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    usher.reaches("usher_pool_queue_length{pool=\"rails\"}", 1.0).await;
    done(&usher, "undrain", json!({ "target": own.endpoint() })).await;
    let mut back = own.accept().await;
    back.read().await;
    back.write(ok("its own")).await;
    assert_eq!(client.answer().await.text(), "its own");
    drop((client, back));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_fallbacks_total", &["taken"]), 0.0);
}

#[tokio::test]
async fn a_guest_that_fails_is_tried_again_among_those_whose_guest_it_is() {
    let (own, bad, good) = (Origin::start().await, Origin::start().await, Origin::start().await);
    let others = format!("{}, {}", bad.endpoint(), good.endpoint());
    let usher = Usher::start(&text(&own.endpoint(), &others, "")).await;
    let (first, line) = asked(&usher, &own, GET).await;
    tokio::spawn(async move {
        loop {
            let mut line = bad.accept().await;
            line.read().await;
            line.reset();
        }
    });
    good.serve(|_| ok("good"));
    let mut client = Client::connect(usher.address()).await;
    while usher.samples().sum("usher_retries_total", &["\"other\""]) == 0.0 {
        client.send(GET).await;
        assert_eq!(client.answer().await.text(), "good");
    }
    usher.reaches(HERE, 0.0).await;
    assert_eq!(usher.samples().sum("usher_retries_total", &["\"rails\""]), 0.0);
    drop((client, first, line));
    usher.stop().await;
}
