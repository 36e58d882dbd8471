//! Visitors who ask without pause and are not to be disappointed.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::support::{client::Client, origin::PATIENCE};

/// Visitors that ask with GET until they are told to stop.
pub struct Load {
    tally: Arc<Tally>,
    visitors: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    served: AtomicU64,
    /// The processes that have answered.
    processes: Mutex<BTreeSet<u64>>,
    /// Answers that were not what a visitor wants, as they came.
    lost: Mutex<Vec<String>>,
}

// === impl Load ===

impl Load {
    pub fn start(usher: SocketAddr, visitors: usize) -> Self {
        let tally = Arc::new(Tally::default());
        let visit = |_| tokio::spawn(visit(usher, tally.clone()));
        let visitors = (0..visitors).map(visit).collect();
        Self { tally, visitors }
    }

    /// The processes that have answered so far.
    pub fn processes(&self) -> BTreeSet<u64> {
        self.tally.processes.lock().clone()
    }

    /// Waits until so many processes have answered.
    pub async fn is_served_by(&self, processes: usize) {
        self.until("others serve as well", || self.processes().len() >= processes).await;
    }

    /// Waits until everybody has been served a good deal more.
    pub async fn goes_on(&self) {
        let served = || self.tally.served.load(Ordering::Relaxed);
        let enough = served() + 20 * self.visitors.len() as u64;
        self.until("everybody is served", || served() >= enough).await;
    }

    /// Waits for as long as two workers of a Rails may take to boot on a busy machine.
    pub async fn until(&self, what: &str, fits: impl Fn() -> bool) {
        let reached = async {
            while !fits() {
                assert!(!self.visitors.iter().any(JoinHandle::is_finished), "a visitor gave up");
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(4 * PATIENCE, reached).await;
        assert!(reached.is_ok(), "never: {what}; lost: {:?}", self.tally.lost.lock());
    }

    /// Stops, and checks that every answer was the monolith's own and whole.
    pub async fn stop(self) {
        self.stop_but(0).await;
    }

    /// Stops, and checks that no more than `most` answers were not, all of which had begun.
    pub async fn stop_but(self, most: usize) {
        self.tally.stop.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.await.expect("every visitor is answered");
        }
        let lost = self.tally.lost.lock();
        assert!(lost.len() <= most && lost.iter().all(|it| it == "broke off"), "{lost:?}");
    }
}

async fn visit(usher: SocketAddr, tally: Arc<Tally>) {
    let mut client = Client::connect(usher).await;
    while !tally.stop.load(Ordering::Relaxed) {
        let answer = client.get("/echo").await;
        let process = answer.field("x-process").and_then(|process| process.parse().ok());
        match process {
            Some(process) if answer.status == 200 && answer.whole => {
                tally.processes.lock().insert(process);
                tally.served.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Some(_) if !answer.whole => tally.lost.lock().push("broke off".to_owned()),
            Some(_) | None => tally.lost.lock().push(format!("{answer:?}")),
        }
        client = Client::connect(usher).await;
    }
}
