//! Visitors who buy without pause: nothing of it may be done twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{client::Client, origin::PATIENCE};

/// The file into which the application writes each sale.
pub struct Till(TempDir);

/// Visitors that buy until they are told to stop. No two sales have one number.
pub struct Sales {
    tally: Arc<Tally>,
    visitors: JoinSet<()>,
}

#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    next: AtomicU64,
    /// Those of which the visitor was told that they are done.
    told: Mutex<BTreeSet<u64>>,
    /// Those of which nobody knows: their connection died under them.
    unknown: Mutex<BTreeSet<u64>>,
}

// === impl Till ===

impl Till {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("till")
    }
}

// === impl Sales ===

impl Sales {
    pub fn start(usher: SocketAddr, visitors: usize) -> Self {
        let tally = Arc::new(Tally::default());
        let visitors = (0..visitors).map(|_| buy(usher, tally.clone())).collect();
        Self { tally, visitors }
    }

    /// How many sales are done, as far as visitors were told.
    pub fn told(&self) -> usize {
        self.tally.told.lock().len()
    }

    /// Waits for as long as two workers of a Rails may take to boot on a busy machine.
    pub async fn until(&mut self, what: &str, fits: impl Fn(usize) -> bool) {
        let reached = async {
            while !fits(self.told()) {
                assert!(self.visitors.try_join_next().is_none(), "a visitor gave up");
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(4 * PATIENCE, reached).await;
        assert!(reached.is_ok(), "never: {what}");
    }

    /// Stops, and checks that what was told was done once, and nothing twice.
    pub async fn stop(self, till: &Path) {
        let Self { tally, visitors } = self;
        tally.stop.store(true, Ordering::Relaxed);
        visitors.join_all().await;
        let (told, unknown) = (tally.told.lock(), tally.unknown.lock());
        let mut done = BTreeMap::<u64, usize>::new();
        for line in std::fs::read_to_string(till).expect("there are sales").lines() {
            *done.entry(line.parse().expect("a number")).or_default() += 1;
        }
        let twice: Vec<_> = done.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert!(told.iter().all(|number| done.contains_key(number)), "told and not done");
        let known = |number: &&u64| told.contains(number) || unknown.contains(number);
        assert!(done.keys().all(|number| known(&number)), "done and not told");
    }
}

async fn buy(usher: SocketAddr, tally: Arc<Tally>) {
    let mut client = Client::connect(usher).await;
    while !tally.stop.load(Ordering::Relaxed) {
        let number = tally.next.fetch_add(1, Ordering::Relaxed);
        let post = format!("POST /till/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        client.send(post).await;
        let answer = client.answer().await;
        match (answer.status, answer.field("x-usher-fault")) {
            (201, None) if answer.whole => tally.told.lock().insert(number),
            (502, Some("upstream_broke")) => tally.unknown.lock().insert(number),
            _ => panic!("{answer:?}"),
        };
    }
}
