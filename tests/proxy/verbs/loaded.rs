//! What operators order while clients never stop asking: no request fails.

use std::time::Duration;

use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use crate::support::{
    client::Client,
    orders::done,
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

/// No more than one endpoint has slots: with fewer it would be overload that fails requests.
const CLIENTS: usize = 8;

/// Clients that ask one after the other until they are stopped.
struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    /// Starts them, and waits until each has had an answer.
    async fn start(usher: &Usher) -> Self {
        let (stop, stopped) = watch::channel(false);
        let address = usher.address();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = Client::connect(address).await;
            assert_eq!(client.get("/").await.status, 200);
            let stopped = stopped.clone();
            clients.push(tokio::spawn(async move {
                let mut answers = 1;
                while !*stopped.borrow() {
                    let answer = client.get("/").await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answers += 1;
                }
                answers
            }));
        }
        Self { stop, clients }
    }

    /// Stops them, and returns how many answers they have had, all of them good.
    async fn stop(self) -> usize {
        self.stop.send(true).expect("they listen");
        let mut answers = 0;
        for client in self.clients {
            answers += client.await.expect("no request fails");
        }
        answers
    }
}

async fn shop(count: usize) -> (Usher, Vec<String>) {
    let mut endpoints = Vec::new();
    for _ in 0..count {
        let origin = Origin::start().await;
        endpoints.push(origin.endpoint());
        origin.serve(|_| ok("here"));
    }
    let text = one_pool(&endpoints, "").replace("capacity: 5", &format!("capacity: {CLIENTS}"));
    (Usher::start(&text).await, endpoints)
}

#[tokio::test]
async fn a_pause_of_two_seconds_fails_no_request() {
    let (usher, _) = shop(1).await;
    let load = Load::start(&usher).await;
    done(&usher, "pause", json!({ "target": "pool:rails", "for": "2s" })).await;
    let waiting = "usher_paused_requests{kind=\"pool\",target=\"rails\"}";
    usher.reaches(waiting, CLIENTS as f64).await;
    // It ends by itself, by the house's clock.
    let in_force = "usher_verbs_in_force{verb=\"pause\",kind=\"pool\",target=\"rails\"}";
    usher.reaches(in_force, 0.0).await;
    let before = usher.samples().sum("usher_requests_total", &["served"]);
    let more = async {
        while usher.samples().sum("usher_requests_total", &["served"]) < before + 100.0 {
            tokio::task::yield_now().await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]
    tokio::time::timeout(Duration::from_secs(20), more).await.expect("they go on");
    let answers = load.stop().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), answers as f64);
    assert_eq!(samples.sum("usher_faults_total", &[]), 0.0);
}

#[tokio::test]
async fn draining_and_undraining_endpoints_in_turn_fails_no_request() {
    let (usher, endpoints) = shop(2).await;
    let load = Load::start(&usher).await;
    for round in 0..20 {
        let endpoint = &endpoints[round % 2];
        done(&usher, "drain", json!({ "target": endpoint })).await;
        let before = usher.samples().sum("usher_requests_total", &["served"]);
        while usher.samples().sum("usher_requests_total", &["served"]) < before + 20.0 {
            tokio::task::yield_now().await;
        }
        done(&usher, "undrain", json!({ "target": endpoint })).await;
    }
    let answers = load.stop().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), answers as f64);
    assert_eq!(samples.sum("usher_faults_total", &[]), 0.0);
}
