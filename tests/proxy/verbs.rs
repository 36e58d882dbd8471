//! What operators order, over a whole usher: who waits, who passes, and what outlives what.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{
    client::{Answer, Client},
    orders::{done, order},
    origin::{Origin, ok},
    usher::{Addresses, Usher, one_pool},
};
use crate::{GET, started};

mod endpoints;
mod kept;
mod loaded;

const WAITING: &str = "usher_paused_requests{kind=\"audience\",target=\"everyone\"}";

fn fault(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.field("x-usher-fault").unwrap_or_default())
}

/// Who asks whether usher lives and is ready hears that it is, whatever operators have ordered.
async fn is_well(usher: &Usher) {
    let Addresses { control, metrics, .. } = usher.addresses;
    for port in [control.expect("a control port"), metrics.expect("a metrics port")] {
        for path in ["/live", "/ready"] {
            let mut client = Client::plain(port).await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: {port}\r\n\r\n")).await;
            let answer = client.answer().await;
            assert_eq!(answer.status, 200, "{path} at {port}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn paused_requests_wait_without_a_slot_and_go_on_in_order() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace("capacity: 5", "capacity: 1");
    let usher = Usher::start(&text).await;
    done(&usher, "pause", json!({ "target": "everyone" })).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = Client::connect(usher.address()).await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        // One after the other, so that their order is known.
        usher.reaches(WAITING, f64::from(n) + 1.0).await;
        clients.push(client);
    }
    assert_eq!(usher.samples().get("usher_pool_in_flight{pool=\"rails\"}"), 0.0);
    let status = usher.remote.status();
    assert_eq!((status.verbs[0].waiting, status.verbs[0].target.as_str()), (Some(5), "everyone"));
    is_well(&usher).await;
    let view = done(&usher, "resume", json!({ "target": "everyone", "operator": "bob" })).await;
    assert_eq!(view["before"][0]["verb"], "pause");
    for (n, client) in clients.iter_mut().enumerate() {
        let mut line = origin.accept().await;
        let asked = line.read().await;
        assert_eq!(asked.target(), format!("/{n}"));
        line.write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 204);
    }
    drop(clients);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 5.0);
}

#[tokio::test]
async fn no_more_go_on_at_once_than_there_are_slots() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace("capacity: 5", "capacity: 2");
    let usher = Usher::start(&text).await;
    done(&usher, "pause", json!({ "target": "pool:rails" })).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(usher.address()).await;
        client.send(GET).await;
        clients.push(client);
    }
    usher.reaches("usher_paused_requests{kind=\"pool\",target=\"rails\"}", 6.0).await;
    done(&usher, "resume", json!({ "target": "pool:rails" })).await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = origin.accept().await;
        line.read().await;
        lines.push(line);
    }
    usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 2.0).await;
    assert_eq!(usher.samples().get("usher_pool_queue_length{pool=\"rails\"}"), 0.0);
    let everyone = async {
        for client in &mut clients {
            assert_eq!(client.answer().await.status, 200);
        }
    };
    let answering = async {
        for mut line in lines {
            line.write(ok("here")).await;
            tokio::spawn(async move {
                while line.try_read().await.is_some() {
                    line.write(ok("here")).await;
                }
            });
        }
        origin.serve(|_| ok("here"));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = everyone => {}
        () = answering => {}
    }
    drop(clients);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 6.0);
}

#[tokio::test]
async fn who_may_not_wait_is_told_when_to_come_back() {
    let (_origin, usher, mut client) = started("").await;
    let body = json!({ "target": "everyone", "requests": 1, "wait": "10m", "for": "20m" });
    done(&usher, "pause", body).await;
    let mut waiting = Client::connect(usher.address()).await;
    waiting.send(GET).await;
    usher.reaches(WAITING, 1.0).await;
    let answer = client.get("/").await;
    assert_eq!(fault(&answer), (503, "paused"));
    let after: u64 = answer.field("retry-after").expect("it says when").parse().expect("seconds");
    assert!((1_190..=1_200).contains(&after), "{after}");
    // The same pause, said anew: who comes from now on waits no time at all.
    done(&usher, "pause", json!({ "target": "everyone", "requests": 9, "wait": "0s" })).await;
    let answer = client.get("/").await;
    assert_eq!(fault(&answer), (503, "paused"));
    assert!(answer.field("retry-after").is_some(), "{answer:?}");
    drop((waiting, client));
    let samples = usher.stop().await;
    let faults =
        "usher_faults_total{audience=\"everyone\",pool=\"rails\",fault=\"paused\",blame=\"usher\"}";
    assert_eq!(samples.get(faults), 2.0);
}

#[tokio::test]
async fn nobody_waits_for_longer_than_was_said() {
    let (_origin, usher, mut client) = started("").await;
    let wait = Duration::from_secs(1);
    done(&usher, "pause", json!({ "target": "everyone", "wait": "1s", "for": "20m" })).await;
    let since = Instant::now();
    let answer = client.get("/").await;
    assert!(since.elapsed() >= wait, "it has waited");
    assert_eq!(fault(&answer), (503, "paused"));
    let after: u64 = answer.field("retry-after").expect("it says when").parse().expect("seconds");
    assert!((1_100..=1_200).contains(&after), "{after}");
    assert_eq!(usher.samples().get(WAITING), 0.0);
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["\"paused\""]), 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_a_pause_is_settled_at_once() {
    let (_origin, usher, client) = started("").await;
    drop(client);
    done(&usher, "pause", json!({ "target": "everyone" })).await;
    for resets in [true, false] {
        let mut client = Client::connect(usher.address()).await;
        client.send(GET).await;
        usher.reaches(WAITING, 1.0).await;
        if resets {
            client.reset()
        } else {
            drop(client)
        }
        usher.reaches(WAITING, 0.0).await;
    }
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["abandoned"]), 2.0);
}

#[tokio::test]
async fn a_body_is_gathered_before_the_pause_and_sent_after_it() {
    let (origin, usher, mut client) = started("").await;
    done(&usher, "pause", json!({ "target": "everyone" })).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    usher.reaches(WAITING, 1.0).await;
    done(&usher, "resume", json!({ "target": "everyone" })).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.body, b"hi");
    line.write(ok("here")).await;
    assert_eq!(client.answer().await.status, 200);
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_says_so() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|_| ok("here"));
    let body = json!({ "target": "everyone", "for": "1s", "reason": "a look" });
    let view = done(&usher, "pause", body).await;
    assert_eq!(view["after"][0]["seconds_left"], 1);
    assert_eq!(view["after"][0]["reason"], "a look");
    assert_eq!(client.get("/").await.text(), "here");
    assert!(usher.remote.status().verbs.is_empty());
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn maintenance_answers_in_the_form_that_is_asked_for_and_lets_networks_pass() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "") + "trusted_proxies: [127.0.0.1]\n";
    origin.serve(|_| ok("here"));
    let usher = Usher::start(&text).await;
    let body = json!({ "target": "everyone", "allow": ["10.0.0.0/8"], "for": "1h" });
    done(&usher, "maintenance", body).await;
    let mut client = Client::connect(usher.address()).await;
    for (accept, kind) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(fault(&answer), (503, "maintenance"));
        assert_eq!(answer.field("content-type"), Some(kind));
        let after: u64 =
            answer.field("retry-after").expect("it says when").parse().expect("seconds");
        assert!((3_590..=3_600).contains(&after), "{after}");
    }
    for (from, status) in [("10.1.2.3", 200), ("192.0.2.1", 503)] {
        let get = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {from}\r\n\r\n");
        client.send(get).await;
        assert_eq!(client.answer().await.status, status, "{from}");
    }
    is_well(&usher).await;
    done(&usher, "resume", json!({ "target": "everyone" })).await;
    assert_eq!(client.get("/").await.text(), "here");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn maintenance_reaches_those_who_wait_when_the_pause_ends() {
    let (_origin, usher, mut client) = started("").await;
    done(&usher, "pause", json!({ "target": "everyone" })).await;
    client.send(GET).await;
    usher.reaches(WAITING, 1.0).await;
    done(&usher, "maintenance", json!({ "target": "pool:rails" })).await;
    done(&usher, "resume", json!({ "target": "audience:everyone" })).await;
    assert_eq!(fault(&client.answer().await), (503, "maintenance"));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_target_that_is_not_there_is_said_with_what_was_probably_meant() {
    let (origin, usher, client) = started("").await;
    drop(client);
    for (verb, target, said) in [
        ("pause", "evryone", "There is no audience or pool `evryone`, did you mean `everyone`?"),
        ("maintenance", "pool:everyone", "There is no audience or pool `pool:everyone`"),
        ("resume", "nobody", "There is no audience or pool `nobody`? Known here: everyone, rails."),
        ("drain", "127.0.0.1:9", "There is no endpoint `127.0.0.1:9`"),
        ("undrain", "everyone", "There is no endpoint `everyone`"),
        ("pause", &origin.endpoint(), "pause is for an audience or a pool"),
    ] {
        let (status, problem) = order(&usher, verb, json!({ "target": target })).await;
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(status == 404 && detail.starts_with(said), "{detail}");
    }
    let (status, _) = order(&usher, "pause", json!({ "target": "everyone", "wiat": "1s" })).await;
    assert_eq!(status, 400);
    let (status, view) = order(&usher, "resume", json!({ "target": "everyone" })).await;
    assert_eq!((status, &view["result"]), (200, &"unchanged".into()));
    usher.stop().await;
}

#[tokio::test]
async fn two_operators_are_told_what_the_other_one_did() {
    let (_origin, usher, client) = started("").await;
    drop(client);
    let alice = json!({ "target": "everyone", "operator": "alice", "reason": "failover" });
    let bob = json!({ "target": "everyone", "operator": "bob", "for": "5m" });
    let (first, second) = tokio::join!(done(&usher, "pause", alice), done(&usher, "pause", bob));
    let by = |view: &Value| view["by"].as_str().unwrap_or_default().to_owned();
    let (earlier, later) =
        if first["before"][0].is_null() { (first, second) } else { (second, first) };
    assert!(earlier["before"][0].is_null());
    assert_eq!(by(&later["before"][0]), by(&earlier["after"][0]));
    assert_eq!(usher.remote.status().verbs.len(), 1);
    assert_eq!(usher.remote.status().verbs[0].by, by(&later["after"][0]));
    assert!(by(&later["after"][0]).ends_with(" (loopback)"));
    usher.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_pause_and_answers_those_who_do() {
    let origin = Origin::start().await;
    // It is a quarter of the time before others are cut that nobody waits any more.
    let text = one_pool(&[origin.endpoint()], "").replace("requests: 5s", "requests: 8s");
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    done(&usher, "pause", json!({ "target": "everyone", "wait": "10m" })).await;
    client.send(GET).await;
    usher.reaches(WAITING, 1.0).await;
    let address = usher.address();
    usher.remote.stop();
    let answer = client.answer().await;
    assert_eq!(fault(&answer), (503, "paused"));
    assert!(answer.field("retry-after").is_some());
    let samples = usher.stop().await;
    assert_eq!(samples.get(WAITING), 0.0);
    assert_eq!(samples.sum("usher_faults_total", &["\"draining\""]), 0.0, "it was not cut");
    assert!(TcpStream::connect(address).await.is_err());
}
