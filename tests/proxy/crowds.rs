//! Too many connections. Not over TLS: one that has to wait has not shaken hands.

use crate::{
    GET,
    support::{client::Client, origin::ok},
};

use super::limits::limited;

#[tokio::test]
async fn a_connection_too_many_waits_until_another_closes() {
    let (origin, usher, mut first) = limited("connections: 2").await;
    origin.serve(|_| ok("served"));
    first.get("/").await;
    let mut second = Client::connect(usher.address()).await;
    second.get("/").await;
    let mut third = Client::connect(usher.address()).await;
    third.send(GET).await;
    for _ in 0..10 {
        second.get("/").await;
    }
    let nothing = third.stream.try_read(&mut [0]);
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(usher.samples().sum("usher_connections", &[]), 2.0);
    drop(first);
    assert_eq!(third.answer().await.text(), "served");
    drop((second, third));
    usher.stop().await;
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share_of_connections() {
    let (origin, usher, mut first) = limited("per_client: 1").await;
    origin.serve(|_| ok("served"));
    first.get("/").await;
    let mut second = Client::connect(usher.address()).await;
    assert!(second.closed().await.is_empty());
    assert_eq!(first.get("/").await.text(), "served");
    drop(first);
    while usher.samples().sum("usher_connections", &[]) > 0.0 {
        tokio::task::yield_now().await;
    }
    let mut third = Client::connect(usher.address()).await;
    assert_eq!(third.get("/").await.text(), "served");
    drop(third);
    usher.stop().await;
}
