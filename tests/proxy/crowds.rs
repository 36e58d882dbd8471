//! Connections that wait, or are too many.
//!
//! Transport: HTTP/1.1 in plain text; one that has to wait has not shaken hands.

use usher::{
    app,
    config::{self, LoadOptions},
};

use crate::{
    GET,
    limits::limited,
    support::{
        client::Client,
        origin::{Origin, ok},
        usher::one_pool,
    },
};

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
    // The operators' ports have room of their own.
    for (port, path) in [
        (usher.addresses.control, "/api/v1/status"),
        (usher.addresses.control, "/live"),
        (usher.addresses.metrics, "/metrics"),
        (usher.addresses.metrics, "/ready"),
    ] {
        let mut operator = Client::connect(port.expect("it is on")).await;
        operator.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(operator.answer().await.status, 200, "{path}");
    }
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

#[tokio::test]
async fn what_the_system_has_queued_when_accepting_ends_is_taken_and_served() {
    const CLIENTS: usize = 100;
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "    queue: { length: 100, wait: 20s }\n");
    // They have as long as it takes: nobody is to be cut because the machine is slow.
    let text = text.replace("requests: 5s", "requests: 60s");
    origin.serve(|_| ok("served"));
    let parsed = config::parse_text("test.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.expect("it is right");
    let bound = app::build(config, app::Origin::default()).expect("free ports can be bound");
    let address = bound.addresses().listeners[0].socket().expect("TCP");
    let remote = bound.remote();
    // Nobody accepts yet.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(address).await;
        client.send(GET).await;
        clients.push(client);
    }
    remote.stop();
    let thread = std::thread::spawn(move || bound.run());
    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "served");
    }
    drop(clients);
    thread.join().expect("usher does not panic").expect("usher ends well");
}
