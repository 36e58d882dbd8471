//! Listeners that a reload adds and removes.

use tokio::net::TcpStream;

use super::{File, GENERATION};
use crate::support::{
    client::{Client, refused},
    orders::reload,
    origin::{Origin, ok},
    usher::{Usher, listener_tls, one_pool},
    wire::Wire,
};

#[tokio::test]
async fn listeners_come_and_go_and_what_cannot_be_bound_changes_nothing() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "");
    let file = File::new(&text);
    origin.serve(|_| ok("here"));
    let usher = Usher::start_at(&file.path).await;
    let more = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = more.local_addr().expect("it is bound");
    let two = text.replace(
        " }]\ncontrol",
        &format!(" }}, {{ bind: \"{address}\"{} }}]\ncontrol", listener_tls()),
    );
    file.write(&two);
    let (answer, view) = reload(&usher).await;
    assert_eq!(answer.status, 422, "{view}");
    assert!(view["problems"][0].as_str().expect("a problem").contains(&address.to_string()));
    // Nobody has to ask again: the file is right, and only the port was not free.
    drop(more);
    usher.reaches(GENERATION, 2.0).await;
    usher.reaches("usher_config_refused", 0.0).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.text(), "here");
    file.write(&text);
    assert_eq!(reload(&usher).await.0.status, 200);
    assert_eq!(client.get("/").await.text(), "here", "an open connection goes on");
    refused(address).await;
    drop(client);
    usher.stop().await;
}

/// The acceptor waits for room, so that they are still with the system when the listener goes.
#[tokio::test]
async fn connections_that_the_system_has_queued_at_a_listener_that_goes_are_served() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "");
    origin.serve(|_| ok("here"));
    let second = format!("bind: 127.0.0.1:0{}, limits: {{ connections: 1 }}", listener_tls());
    let two = text.replace(" }]\ncontrol", &format!(" }}, {{ {second} }}]\ncontrol"));
    let file = File::new(&two);
    let usher = Usher::start_at(&file.path).await;
    let address = usher.addresses.listeners[1];
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "here");
    let mut queued = Vec::new();
    for _ in 0..20 {
        queued.push(TcpStream::connect(address).await.expect("the system takes it"));
    }
    let accepted = usher.samples().sum("usher_connections", &[&address.to_string()]);
    assert!(accepted <= 1.0, "{accepted} were accepted, and there is room for one");
    file.write(&text);
    assert_eq!(reload(&usher).await.0.status, 200);
    for socket in queued {
        let mut client = Client::on(Wire::on(socket).await.expect("hands are shaken"));
        assert_eq!(client.get("/").await.text(), "here");
    }
    refused(address).await;
    drop(client);
    usher.stop().await;
}
