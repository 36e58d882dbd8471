//! Sessions of TLS when another binary takes over.
//!
//! Transport: TLS itself, and HTTP/1.1 inside.

use std::sync::Arc;

use rustls::{HandshakeKind, client::Resumption};
use tokio::net::TcpStream;

use crate::{
    kit::{Shop, stopped},
    support::{
        authority::shared_client, binary::Binary, client::Client, usher::Samples, wire::Wire,
    },
    upgrade::config,
};

/// What seals tickets stays in the process that has made it: whoever comes back with a ticket of
/// the old process shakes hands in full with the new one, and has one of that from then on.
#[tokio::test]
async fn a_ticket_of_the_old_process_is_no_hindrance_at_the_new_one() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let address = usher.clients;
    let mut client = (*shared_client()).clone();
    client.resumption = Resumption::in_memory_sessions(16);
    let client = Arc::new(client);
    let kind = async || {
        let socket = TcpStream::connect(address).await.expect("usher accepts");
        let wire = Wire::within_tls(socket, &client, "shop.example").await.expect("hands");
        let mut client = Client::on(wire);
        // Tickets come with the first answer at the latest.
        assert_eq!(client.get("/").await.status, 200);
        let Wire::Tls(stream) = &client.stream else { panic!("it speaks TLS") };
        stream.get_ref().1.handshake_kind().expect("it is over")
    };
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    let hands = |samples: &Samples, result: &str| {
        samples.sum("usher_tls_handshakes_total", &[&format!("\"{result}\"")])
    };
    let samples = usher.when("all are counted", |samples| hands(samples, "full") >= 1.0).await;
    assert_eq!(hands(&samples, "failed"), 0.0);
    stopped(heir).await;
}
