//! What a client does only to do harm: each flood ends its own connection and nothing else.
//!
//! Every test sends far more than is borne, with bounds, and holds usher to the same oracle: the
//! connection is ended, the reason is counted and stands in the log, the monolith has seen no more
//! than what was borne, memory stays flat, and a client that means well goes on meanwhile on
//! another connection.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use http::Request;
use tokio::io::AsyncWriteExt;

use crate::{
    raw::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, PRIORITY,
        RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame,
    },
    started_with,
    support::{
        http2::{Http2, get, within},
        log::log,
        origin::ok,
        usher::Usher,
    },
};

const CLOSED: &str = "usher_http2_connections_closed_total";

/// How much of a flood is sent at most.
const FRAMES_MAX: usize = 20_000;

/// GOAWAY's code for doing too much of what is allowed.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// GOAWAY's code for breaking RFC 9113.
const PROTOCOL_ERROR: u32 = 0x1;

/// GOAWAY's code for sending more than there was room for.
const FLOW_CONTROL_ERROR: u32 = 0x3;

/// GOAWAY's code for frames on a stream that has ended.
const STREAM_CLOSED: u32 = 0x5;

/// What memory may grow by while a flood lasts; the buffers of both sides included.
const MEMORY_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// usher under a flood, and a client that means well.
struct Siege {
    usher: Usher,
    friend: Http2,
    /// Where the flood comes from, which is nobody else's address in this process.
    client: Ipv4Addr,
    asked: Arc<AtomicUsize>,
    memory_before: u64,
}

// === impl Siege ===

impl Siege {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(limits: &str) -> Self {
        static LAST: AtomicU16 = AtomicU16::new(0);
        let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Before anything is said.
        log();
        let (origin, usher, mut friend) = started_with(limits, "").await;
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

    async fn attacker(&self) -> Raw {
        Raw::connect_from(self.client, self.usher.address()).await
    }

    /// Sends `frames` again and again until usher ends the connection; its GOAWAY's code.
    async fn flood(&mut self, attacker: Raw, frames: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
        self.flood_with(attacker, 1, frames).await
    }

    async fn flood_with(
        &mut self,
        attacker: Raw,
        frames_each: usize,
        mut frames: impl FnMut(u32) -> Vec<u8>,
    ) -> Option<u32> {
        let (read, mut write) = tokio::io::split(attacker.stream);
        let reading = tokio::spawn(Raw::ended_of(read));
        for n in 0..FRAMES_MAX / frames_each {
            let bytes = frames(u32::try_from(n).expect("few"));
            // A client that does not read is a flood of its own; here usher's words are read.
            if within(write.write_all(&bytes)).await.is_err() || reading.is_finished() {
                break;
            }
            if n % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let code = within(reading).await.expect("no panic");
        let friendly = within(self.friend.ask(get("/"))).await;
        assert_eq!(friendly.text(), "fine", "others are unharmed");
        code
    }

    /// The attack is over: it ended for one of `reasons`, which was told, and cost little.
    async fn held(self, reasons: &[&'static str], asked_max: usize) {
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

/// The number of a client's `n`th stream.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

fn ask(n: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream(n), GET)
}

fn begin(n: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream(n), POST)
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_resets() {
    let mut siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let cancel = 8_u32.to_be_bytes();
    let code = siege
        .flood_with(attacker, 2, |n| [ask(n), frame(RST_STREAM, 0, stream(n), &cancel)].concat())
        .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held(&["enhance_your_calm", "resets"], 300).await;
}

/// The same, slowly enough that each request is on its way when it is taken back.
#[tokio::test]
async fn resets_of_requests_that_are_on_their_way() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    // As many as it takes: on a slow machine more are borne meanwhile.
    for n in 0..FRAMES_MAX as u32 {
        attacker.bytes(&begin(n)).await;
        attacker.frame(PING, 0, 0, &[0; 8]).await;
        if attacker.until_or_end(PING).await.is_none() {
            break;
        }
        attacker.frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes()).await;
    }
    assert_eq!(attacker.ended().await, Some(ENHANCE_YOUR_CALM));
    siege.held(&["resets"], 300).await;
}

/// CVE-2025-8671: usher is made to reset.
#[tokio::test]
async fn resets_that_usher_is_made_to_do() {
    let zero = 0_u32.to_be_bytes();
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    type Trick = Box<dyn Fn(u32) -> Vec<u8>>;
    let tricks: [Trick; 4] = [
        Box::new(move |n| [begin(n), frame(WINDOW_UPDATE, 0, stream(n), &zero)].concat()),
        Box::new(move |n| [begin(n), frame(WINDOW_UPDATE, 0, stream(n), &overflow)].concat()),
        Box::new(|n| {
            // A length of 1, and two bytes.
            let head = [POST, b"\x0f\x0d\x011"].concat();
            let data = frame(DATA, END_STREAM, stream(n), b"xx");
            [frame(HEADERS, END_HEADERS, stream(n), &head), data].concat()
        }),
        Box::new(|n| frame(HEADERS, END_STREAM | END_HEADERS, stream(n), b"\x82\x86")),
    ];
    for trick in tricks {
        let mut siege = Siege::start().await;
        let attacker = siege.attacker().await;
        let code = siege.flood_with(attacker, 2, trick).await;
        assert!(code == Some(ENHANCE_YOUR_CALM) || code == Some(PROTOCOL_ERROR), "{code:?}");
        siege.held(&["enhance_your_calm", "protocol_error"], 300).await;
    }
}

/// Frames that make usher do something and carry nothing.
#[tokio::test]
async fn frames_about_the_connection() {
    let table = |size: u32| [&1_u16.to_be_bytes()[..], &size.to_be_bytes()].concat();
    let churn = [frame(SETTINGS, 0, 0, &table(0)), frame(SETTINGS, 0, 0, &table(u32::MAX))];
    for bytes in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, b""),
        churn.concat(),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]),
        // PRIORITY_UPDATE (RFC 9218), and a frame that nobody knows.
        frame(0x10, 0, 0, b"\0\0\0\x01u=1"),
        frame(0x77, 0, 0, &[0; 100]),
    ] {
        let mut siege = Siege::start().await;
        let attacker = siege.attacker().await;
        let code = siege.flood(attacker, |_| bytes.clone()).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        siege.held(&["control_frames"], 3).await;
    }
}

/// A client that makes usher answer and does not read.
#[tokio::test]
async fn pings_of_a_client_that_does_not_read() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    let ping = frame(PING, 0, 0, &[0; 8]).repeat(100);
    for _ in 0..FRAMES_MAX / 100 {
        if attacker.stream.write_all(&ping).await.is_err() {
            break;
        }
    }
    siege.held(&["control_frames"], 3).await;
}

#[tokio::test]
async fn heads_that_never_end() {
    for crumb in [&b""[..], &b"\x00\x01a\x01b"[..]] {
        let mut siege = Siege::start().await;
        let attacker = siege.attacker().await;
        let code = siege
            .flood(attacker, |n| match n {
                0 => frame(HEADERS, END_STREAM, 1, GET),
                _ => frame(CONTINUATION, 0, 1, crumb),
            })
            .await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        siege.held(&["enhance_your_calm", "control_frames"], 2).await;
    }
}

/// One entry of the table, referred to again and again: little here, much there.
#[tokio::test]
async fn heads_that_grow_when_they_are_unpacked() {
    let mut siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let value = vec![b'a'; 3900];
    let length = [0x7f, 0xbd, 0x1d];
    let code = siege
        .flood(attacker, |n| match n {
            0 => {
                let head = [GET, b"\x40\x01x", &length, &value].concat();
                frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)
            }
            _ => {
                let head = [GET, &[0xbe; 4000]].concat();
                frame(HEADERS, END_STREAM | END_HEADERS, stream(n), &head)
            }
        })
        .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held(&["enhance_your_calm"], 3).await;
}

/// RUSTSEC-2026-0258, and the same with almost nothing in each.
#[tokio::test]
async fn bodies_in_crumbs() {
    let padded = [&[255, b'x'][..], &[0; 255]].concat();
    for (flags, payload) in [(0, vec![]), (0x8, padded), (0, vec![b'x'])] {
        let mut siege = Siege::start_with("limits: { body: 1KiB }").await;
        let attacker = siege.attacker().await;
        let code = siege
            .flood(attacker, |n| match n {
                0 => begin(0),
                _ => frame(DATA, flags, 1, &payload),
            })
            .await;
        // Small pieces are read as they come: it is the body that becomes too large, and what
        // comes after that is no stream's.
        let fitting = [ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, STREAM_CLOSED];
        assert!(code.is_none_or(|code| fitting.contains(&code)), "{code:?}");
        let reasons = ["enhance_your_calm", "flow_control_error", "protocol_error", "closed"];
        siege.held(&reasons, 2).await;
    }
}

/// Room for an answer, a byte at a time.
#[tokio::test]
async fn room_in_crumbs() {
    let mut siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let one = 1_u32.to_be_bytes();
    // No room for any stream to begin with.
    let none = [&4_u16.to_be_bytes()[..], &[0; 4]].concat();
    let code = siege
        .flood(attacker, |n| match n {
            0 => [frame(SETTINGS, 0, 0, &none), ask(0)].concat(),
            _ => frame(WINDOW_UPDATE, 0, 0, &one),
        })
        .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held(&["window_updates"], 3).await;
}

/// Answers that are asked for and not taken.
#[tokio::test]
async fn answers_without_room() {
    let siege = Siege::start_with("limits: { write_wait: 300ms }").await;
    let mut attacker = siege.attacker().await;
    let none = [&4_u16.to_be_bytes()[..], &[0; 4]].concat();
    attacker.frame(SETTINGS, 0, 0, &none).await;
    let large = b"\x82\x86\x04\x06/large\x41\x01a";
    for n in 0..100 {
        attacker.frame(HEADERS, END_STREAM | END_HEADERS, stream(n), large).await;
    }
    let stalled = |samples: &crate::support::usher::Samples| {
        samples.sum("usher_faults_total", &["client_stalled"])
    };
    let all = async {
        while stalled(&siege.usher.samples()) < 100.0 {
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
    attacker.stream.shutdown().await.expect("it is open");
    attacker.ended().await;
    siege.held(&["closed"], 102).await;
}

/// More requests at once than there may be.
#[tokio::test]
async fn more_streams_than_allowed() {
    let mut siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let code = siege.flood(attacker, begin).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held(&["enhance_your_calm"], 3).await;
}

/// A head over the limit ends nothing; far over it, it is not even read to its end.
#[tokio::test]
async fn heads_that_are_too_large() {
    let siege = Siege::start().await;
    let mut friend = Http2::connect(siege.usher.address()).await;
    let with = |bytes: usize| {
        let request = Request::get("http://shop.example/").header("x-a", "a".repeat(bytes));
        request.body(()).expect("a request")
    };
    assert_eq!(friend.ask(with(16 * 1024)).await.status, 431);
    assert_eq!(friend.ask(with(60 * 1024)).await.status, 431);
    assert_eq!(friend.get("/").await.status, 200);
    drop(friend);
    siege.held(&["closed"], 2).await;
}
