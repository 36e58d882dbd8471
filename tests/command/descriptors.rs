//! usher when it may have few descriptors, and when it has none left.

use tokio::sync::{mpsc, watch};

use crate::support::{
    binary::Binary,
    client::Client,
    origin::{Origin, PATIENCE, ok},
    usher::Samples,
};

/// Descriptors of the process. usher needs some thirty itself.
const LIMIT: u64 = 200;

/// Clients whose requests are held at the origin: each costs two descriptors.
const HELD: usize = 70;

/// Clients in all: for the last of them there is no descriptor left, though there is a place.
const CLIENTS: usize = 130;

fn text(origin: &Origin) -> String {
    format!(
        "workers: 1\ndrain: {{ grace: 0s, requests: 1s, tunnels: 1s }}\naccess_log: off\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         limits: {{ connections: 1000 }}\n\
         pools:\n  rails: {{ endpoints: [{}], capacity: 500, timeouts: {{ first_byte: 50s }} }}\n",
        origin.endpoint()
    )
}

/// Tells of each request, and answers none until it is released.
fn held(origin: Origin) -> (mpsc::Receiver<()>, watch::Sender<bool>) {
    let (sender, requests) = mpsc::channel(1000);
    let (release, released) = watch::channel(false);
    tokio::spawn(async move {
        while let Some(mut line) = origin.try_accept().await {
            let (sender, mut released) = (sender.clone(), released.clone());
            tokio::spawn(async move {
                while line.try_read().await.is_some() {
                    // Nobody counts them any more once they are released.
                    let _ = sender.try_send(());
                    if released.wait_for(|released| *released).await.is_err() {
                        return;
                    }
                    line.try_write(&ok("served")).await;
                }
            });
        }
    });
    (requests, release)
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_connections_stay_below_it() {
    let origin = Origin::start().await;
    let usher = Binary::start_with_descriptors(&text(&origin), 150, 300).await;
    for word in ["limit=300 before=150", "too few descriptors"] {
        let said = async {
            while !usher.log().contains(word) {
                tokio::task::yield_now().await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        assert!(said.is_ok(), "{word}: {}", usher.log());
    }
    assert_eq!(usher.samples().await.get("usher_descriptors_max"), 300.0);
}

#[tokio::test]
async fn without_descriptors_it_serves_what_it_has_tells_and_recovers() {
    let origin = Origin::start().await;
    let mut usher = Binary::start_with_descriptors(&text(&origin), LIMIT, LIMIT).await;
    let (mut requests, release) = held(origin);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = Client::connect(usher.clients).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
        if number < HELD {
            let reached = tokio::time::timeout(PATIENCE, requests.recv()).await;
            reached.expect("in time").expect("a request reaches the origin");
        }
    }
    let shortage = |place| format!("usher_descriptor_shortages_total{{place=\"{place}\"}}");
    let lacking = |samples: &Samples| samples.get(&shortage("client")) > 0.0;
    // Each port answers although there is no descriptor left, and says so.
    usher.when("a shortage", lacking).await;
    assert_eq!(usher.readiness().await, 200);
    let mut control = Client::connect(usher.control).await;
    control.send("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let status = control.answer().await;
    assert!(status.text().contains("out of file descriptors"), "{}", status.text());
    drop(control);
    // What it has it serves, and in time everybody else: whoever waited to be accepted included.
    release.send(true).expect("the origin runs");
    let mut served = 0;
    clients.reverse();
    while let Some(mut client) = clients.pop() {
        let answer = client.answer().await;
        let told = (answer.status, answer.field("x-usher-fault"));
        assert!(matches!(told, (200, None) | (503, Some("no_descriptor"))), "{answer:?}");
        served += usize::from(answer.status == 200);
    }
    assert!(served >= HELD, "{served} of {CLIENTS}");
    let mut client = Client::connect(usher.clients).await;
    assert_eq!(client.get("/").await.text(), "served", "it has recovered");
    drop(client);
    let complaints = usher.log().matches("cannot accept connections").count();
    assert!(complaints > 0, "{}", usher.log());
    assert!(complaints < CLIENTS - HELD, "{}", usher.log());
    usher.signal(rustix::process::Signal::TERM);
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
}
