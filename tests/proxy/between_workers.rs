//! Connections to endpoints that serve the requests of more than one worker.

use crate::{
    GET,
    support::{
        client::Client,
        origin::{Origin, ok},
        usher::{Usher, one_pool},
    },
};

#[tokio::test]
async fn an_idle_connection_serves_the_next_request_of_whichever_worker() {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], "")).await;
    // While one is connected, the next is given to the other worker.
    let mut clients =
        [Client::connect(usher.address()).await, Client::connect(usher.address()).await];
    clients[0].send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("0")).await;
    assert_eq!(clients[0].answer().await.text(), "0");
    for turn in 1..8 {
        let client = &mut clients[turn % 2];
        client.send(GET).await;
        line.read().await;
        let said = turn.to_string();
        line.write(ok(&said)).await;
        assert_eq!(client.answer().await.text(), said);
    }
    drop(clients);
    usher.stop().await;
}

#[tokio::test]
async fn one_that_was_closed_while_another_worker_had_it_is_replaced() {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], "")).await;
    let mut clients =
        [Client::connect(usher.address()).await, Client::connect(usher.address()).await];
    for turn in 0..4 {
        let client = &mut clients[turn % 2];
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(ok("served")).await;
        assert_eq!(client.answer().await.text(), "served");
        drop(line);
    }
    drop(clients);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 4.0);
}
