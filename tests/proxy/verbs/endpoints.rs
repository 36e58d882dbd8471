//! Endpoints that operators drain.

use serde_json::json;

use super::is_well;
use crate::GET;
use crate::support::{
    client::Client,
    orders::{done, order},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

#[tokio::test]
async fn a_drained_endpoint_finishes_closes_and_gets_nothing_until_it_is_undrained() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&one_pool(&[first.endpoint(), second.endpoint()], "")).await;
    // Each has a connection that is kept.
    let mut clients =
        [Client::connect(usher.address()).await, Client::connect(usher.address()).await];
    let mut lines = [None, None];
    for client in &mut clients {
        client.send(GET).await;
        // Once one is in flight the next goes to the other. Workers that choose at the same
        // moment may both take the same.
        let (at, mut line) = tokio::select! {
            line = first.accept() => (0, line),
            line = second.accept() => (1, line),
        };
        line.read().await;
        lines[at] = Some(line);
    }
    let [Some(mut one), Some(mut other)] = lines else { panic!("both are at one endpoint") };
    done(&usher, "drain", json!({ "target": first.endpoint() })).await;
    one.write(ok("first")).await;
    other.write(ok("second")).await;
    let mut said = Vec::new();
    for client in &mut clients {
        said.push(client.answer().await.text().to_owned());
    }
    said.sort();
    assert_eq!(said, ["first", "second"], "what was in flight finishes");
    assert!(one.try_read().await.is_none(), "its connection closes");
    second.serve(|_| ok("second"));
    tokio::spawn(async move {
        while other.try_read().await.is_some() {
            other.write(ok("second")).await;
        }
    });
    for _ in 0..10 {
        assert_eq!(clients[0].get("/").await.text(), "second");
    }
    let drained = "usher_pool_endpoints{pool=\"rails\",state=\"drained\"}";
    assert_eq!(usher.samples().get(drained), 1.0);
    let (status, view) = order(&usher, "undrain", json!({ "target": first.endpoint() })).await;
    assert_eq!((status, &view["before"][0]["verb"]), (200, &"drain".into()));
    first.serve(|_| ok("first"));
    while clients[0].get("/").await.text() != "first" {}
    assert_eq!(usher.samples().get(drained), 0.0);
    drop(clients);
    usher.stop().await;
}

#[tokio::test]
async fn an_idle_connection_to_a_drained_endpoint_closes_soon() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let usher = Usher::start(&one_pool(&[first.endpoint(), second.endpoint()], "")).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    let (mut line, endpoint) = tokio::select! {
        line = first.accept() => (line, first.endpoint()),
        line = second.accept() => (line, second.endpoint()),
    };
    line.read().await;
    line.write(ok("here")).await;
    client.answer().await;
    done(&usher, "drain", json!({ "target": endpoint })).await;
    assert!(line.try_read().await.is_none(), "it closes");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn the_last_endpoint_is_not_drained_unless_that_is_said() {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], "")).await;
    let (status, problem) = order(&usher, "drain", json!({ "target": origin.endpoint() })).await;
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(status == 409 && detail.contains("`--last` drains it all the same"), "{detail}");
    let view = done(&usher, "drain", json!({ "target": origin.endpoint(), "last": true })).await;
    assert!(view["notes"][0].as_str().expect("a note").contains("No endpoint of pool rails"));
    let problems = usher.remote.status().problems;
    assert!(
        problems.contains(&"every endpoint of pool rails is drained".to_owned()),
        "{problems:?}"
    );
    let answer = Client::connect(usher.address()).await.get("/").await;
    assert_eq!(answer.status, 503);
    is_well(&usher).await;
    usher.stop().await;
}
