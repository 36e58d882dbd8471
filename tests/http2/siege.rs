//! usher under a flood, and what holds of it whatever the flood is.

use std::{
    net::Ipv4Addr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use crate::{
    raw::{Raw, send},
    started_with,
    support::{
        http2::{Http2, get, within},
        log::log,
        origin::ok,
        usher::Usher,
    },
};

const CLOSED: &str = "usher_http2_connections_closed_total";

/// What memory may grow by while a flood lasts; the buffers of both sides included.
const MEMORY_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// usher under a flood, and a client that means well.
pub struct Siege {
    pub usher: Usher,
    friend: Http2,
    /// Where the flood comes from, which is nobody else's address in this process.
    client: Ipv4Addr,
    asked: Arc<AtomicUsize>,
    memory_before: u64,
}

// === impl Siege ===

impl Siege {
    pub async fn start() -> Self {
        Self::start_with("", "").await
    }

    /// With `limits` of its listener, and with more of the pool's keys in `pool`.
    pub async fn start_with(limits: &str, pool: &str) -> Self {
        static LAST: AtomicU16 = AtomicU16::new(0);
        let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Before anything is said.
        log();
        let (origin, usher, mut friend) = started_with(limits, pool).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        origin.serve(move |asked| {
            counter.fetch_add(1, Ordering::Relaxed);
            if asked.target() == "/large" { ok(&"x".repeat(100_000)) } else { ok("fine") }
        });
        assert_eq!(friend.get("/").await.text(), "fine");
        let client = Ipv4Addr::new(127, 1 + high, low, 1);
        Self { usher, friend, client, asked, memory_before: memory() }
    }

    pub async fn attacker(&self) -> Raw {
        Raw::connect_from(self.client, self.usher.address()).await
    }

    /// Sends as many of `frames` as are `borne`, and is still served; sends as many again, and is
    /// ended: the code of the GOAWAY.
    pub async fn flood(
        &self,
        mut attacker: Raw,
        borne: u32,
        mut frames: impl FnMut(u32) -> Vec<u8>,
    ) -> Option<u32> {
        for n in 0..borne {
            assert!(attacker.bytes(&frames(n)).await, "{n} of them are borne");
        }
        attacker.is_served().await;
        self.overrun(attacker, borne..2 * borne, frames).await
    }

    /// Sends `frames` with these numbers, unless usher ends the connection before; in the end it
    /// has: the code of its GOAWAY.
    pub async fn overrun(
        &self,
        attacker: Raw,
        numbers: Range<u32>,
        mut frames: impl FnMut(u32) -> Vec<u8>,
    ) -> Option<u32> {
        let (read, mut write) = tokio::io::split(attacker.stream);
        let reading = tokio::spawn(Raw::ended_of(read));
        for n in numbers {
            // A client that does not read is a flood of its own; here usher's words are read.
            if !send(&mut write, &frames(n)).await || reading.is_finished() {
                break;
            }
            if n % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        within(reading).await.expect("no panic")
    }

    /// The attack is over: it ended for `reason`, which was told, and cost little.
    pub async fn held(self, reason: &'static str, asked_max: usize) {
        self.held_by_one_of(&[reason], asked_max).await;
    }

    /// The same, where two bounds lie so close that either may be the first.
    pub async fn held_by_one_of(mut self, reasons: &[&'static str], asked_max: usize) {
        let friendly = within(self.friend.ask(get("/"))).await;
        assert_eq!(friendly.text(), "fine", "others are unharmed");
        let ended = async {
            loop {
                let samples = self.usher.samples();
                let count = |reason: &&str| samples.sum(CLOSED, &[&format!("\"{reason}\"")]);
                if let Some(reason) = reasons.iter().find(|reason| count(reason) == 1.0) {
                    return *reason;
                }
                tokio::task::yield_now().await;
            }
        };
        self.is_told(within(ended).await).await;
        let grown = memory().saturating_sub(self.memory_before);
        assert!(grown < MEMORY_BYTES_MAX, "memory grew by {grown} bytes");
        let asked = self.asked.load(Ordering::Relaxed);
        assert!(asked <= asked_max, "Rails was asked {asked} times");
        drop(self.friend);
        self.usher.stop().await;
    }

    /// The log names the client and the reason, unless the client itself has closed.
    async fn is_told(&self, reason: &str) {
        let client = format!("client={} ", self.client);
        if reason == "closed" {
            return assert!(!log().text().contains(&client), "{}", log().text());
        }
        let line = format!("a connection over HTTP/2 was ended {client}reason=\"{reason}\"");
        log().says(&format!("WARN {line}")).await;
    }
}

/// What this process has in memory, usher included.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("a process has a status");
    let pages: u64 = status.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}
