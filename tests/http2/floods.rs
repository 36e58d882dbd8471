//! What a client does only to do harm: each flood ends its own connection and nothing else.
//!
//! Every test sends as much as `docs/http2.md` says is borne, which is served, and then as much
//! again. It holds usher to the same oracle: the connection is ended, the reason is counted and
//! stands in the log, the monolith has seen no more than what was borne, memory stays flat, and a
//! client that means well goes on meanwhile on another connection.

use std::{ops::Range, time::Instant};

use http::Request;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    raw::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, PLAIN_GET, POST,
        PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    },
    siege::Siege,
    support::{
        http2::{Http2, within},
        orders::done,
    },
};

/// GOAWAY's code for doing too much of what is allowed.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// GOAWAY's code for sending more than there was room for.
const FLOW_CONTROL_ERROR: u32 = 0x3;

/// DATA with padding.
const PADDED: u8 = 0x8;

/// Requests that a client may take back, and so many more each second.
const RESETS: (u32, u32) = (200, 20);

/// Requests that a client may take back before they were looked at.
const UNSEEN_RESETS: u32 = 20;

/// Streams that usher is made to reset or refuse.
const CAUSED_RESETS: u32 = 100;

/// Requests that may be open at once.
const STREAMS: u32 = 100;

/// Frames about the connection.
const CONTROL_FRAMES: u32 = 500;

/// Frames that give room.
const WINDOW_UPDATES: u32 = 1000;

/// CONTINUATIONs of one head that do not end it.
const CONTINUATIONS: u32 = 5;

/// Bytes of a head once it is unpacked: four times what a client is told, which is twice 16 KiB and
/// 32 for each of 100 fields.
const HEAD_BYTES: usize = 4 * (2 * 16 * 1024 + 32 * 100);

/// Frames of bodies that are empty.
const EMPTY_FRAMES: u32 = 100;

/// Frames of bodies with one byte each, of which each costs 255 bytes: 256 KiB of them.
const TINY_FRAMES: u32 = 256 * 1024 / 255;

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

fn take_back(n: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes())
}

fn ask_and_take_back(n: u32) -> Vec<u8> {
    [ask(n), take_back(n)].concat()
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_resets() {
    let siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let code = siege.overrun(attacker, 0..2 * RESETS.0, ask_and_take_back).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held_by_one_of(&["enhance_your_calm", "resets"], 300).await;
}

/// The same, all at once, so that nobody has looked at any of them.
#[tokio::test]
async fn resets_of_requests_that_nobody_has_looked_at() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    let many = |numbers: Range<u32>| numbers.flat_map(ask_and_take_back).collect::<Vec<u8>>();
    attacker.bytes(&many(0..UNSEEN_RESETS)).await;
    attacker.is_served().await;
    attacker.bytes(&many(UNSEEN_RESETS..3 * UNSEEN_RESETS)).await;
    assert_eq!(attacker.ended().await, Some(ENHANCE_YOUR_CALM));
    siege.held("enhance_your_calm", 3 * UNSEEN_RESETS as usize).await;
}

/// The same, slowly enough that each request is on its way when it is taken back.
#[tokio::test]
async fn resets_of_requests_that_are_on_their_way() {
    let siege = Siege::start().await;
    let (mut taken_back, since) = (0, Instant::now());
    let mut attacker = siege.attacker().await;
    loop {
        attacker.bytes(&begin(taken_back)).await;
        attacker.frame(PING, 0, 0, &[0; 8]).await;
        if attacker.until_or_end(PING).await.is_none() {
            break;
        }
        // On a slow machine more are borne meanwhile.
        let seconds = u32::try_from(since.elapsed().as_secs()).expect("few") + 1;
        assert!(taken_back < RESETS.0 + RESETS.1 * seconds, "{taken_back} in {seconds} s");
        attacker.bytes(&take_back(taken_back)).await;
        taken_back += 1;
    }
    assert!(taken_back > RESETS.0, "{taken_back}");
    assert_eq!(attacker.ended().await, Some(ENHANCE_YOUR_CALM));
    siege.held("resets", 300).await;
}

/// CVE-2025-8671: usher is made to reset.
#[tokio::test]
async fn resets_that_usher_is_made_to_do() {
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    type Trick = Box<dyn Fn(u32) -> Vec<u8>>;
    let tricks: [Trick; 3] = [
        Box::new(move |n| [begin(n), frame(WINDOW_UPDATE, 0, stream(n), &overflow)].concat()),
        Box::new(|n| {
            // A length of 1, and two bytes.
            let head = [POST, b"\x0f\x0d\x011"].concat();
            let data = frame(DATA, END_STREAM, stream(n), b"xx");
            [frame(HEADERS, END_HEADERS, stream(n), &head), data].concat()
        }),
        // A head without a path.
        Box::new(|n| frame(HEADERS, END_STREAM | END_HEADERS, stream(n), b"\x82\x86\x01\x01a")),
    ];
    for trick in tricks {
        let siege = Siege::start().await;
        let attacker = siege.attacker().await;
        let code = siege.flood(attacker, CAUSED_RESETS, trick).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        siege.held("enhance_your_calm", 3).await;
    }
}

/// Frames that make usher do something and carry nothing.
#[tokio::test]
async fn frames_about_the_connection() {
    let table = |size: u32| [&1_u16.to_be_bytes()[..], &size.to_be_bytes()].concat();
    let churn = [frame(SETTINGS, 0, 0, &table(0)), frame(SETTINGS, 0, 0, &table(u32::MAX))];
    // The settings that a client begins with count, and so does its ping that is answered.
    let borne = CONTROL_FRAMES - 2;
    for (bytes, borne) in [
        (frame(PING, 0, 0, &[0; 8]), borne),
        (frame(PING, ACK, 0, &[0; 8]), borne),
        (frame(SETTINGS, 0, 0, b""), borne),
        (churn.concat(), borne / 2),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]), borne),
        // PRIORITY_UPDATE (RFC 9218), and a frame that nobody knows.
        (frame(0x10, 0, 0, b"\0\0\0\x01u=1"), borne),
        (frame(0x77, 0, 0, &[0; 100]), borne),
    ] {
        let siege = Siege::start().await;
        let attacker = siege.attacker().await;
        let code = siege.flood(attacker, borne, |_| bytes.clone()).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        siege.held("control_frames", 3).await;
    }
}

/// A client that makes usher answer and does not read.
#[tokio::test]
async fn pings_of_a_client_that_does_not_read() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(2 * CONTROL_FRAMES as usize);
    // usher may have ended it by the time that all is written.
    let _ = attacker.stream.write_all(&pings).await;
    siege.held("control_frames", 3).await;
}

#[tokio::test]
async fn heads_that_never_end() {
    for crumb in [&b""[..], &b"\x00\x01a\x01b"[..]] {
        let siege = Siege::start().await;
        let mut attacker = siege.attacker().await;
        for number in [1, 3] {
            attacker.frame(HEADERS, END_STREAM, number, GET).await;
            for _ in 0..CONTINUATIONS {
                attacker.frame(CONTINUATION, 0, number, crumb).await;
            }
            if number == 1 {
                attacker.frame(CONTINUATION, END_HEADERS, number, crumb).await;
                attacker.is_served().await;
            }
        }
        let more = |_| frame(CONTINUATION, 0, 3, crumb);
        let code = siege.overrun(attacker, 0..CONTINUATIONS, more).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        siege.held("enhance_your_calm", 3).await;
    }
}

/// One entry of the table, referred to again and again: little here, much there.
#[tokio::test]
async fn heads_that_grow_when_they_are_unpacked() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    let (value, length) = (vec![b'a'; 3900], [0x7f, 0xbd, 0x1d]);
    // Each is as much as this once it is unpacked, beside some 100 bytes of the rest.
    let one = value.len() + 1 + 32;
    let of = |fields: usize| [PLAIN_GET, &vec![0xbe; fields]].concat();
    let first = [PLAIN_GET, b"\x40\x01x", &length, &value].concat();
    for (n, head) in [first, of(HEAD_BYTES / one - 1)].iter().enumerate() {
        attacker.frame(HEADERS, END_STREAM | END_HEADERS, stream(n as u32), head).await;
    }
    attacker.is_served().await;
    attacker.frame(HEADERS, END_STREAM | END_HEADERS, 5, &of(2 * HEAD_BYTES / one)).await;
    assert_eq!(attacker.ended().await, Some(ENHANCE_YOUR_CALM));
    siege.held("enhance_your_calm", 3).await;
}

/// RUSTSEC-2026-0258.
#[tokio::test]
async fn bodies_in_nothings() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    attacker.bytes(&begin(0)).await;
    let code = siege.flood(attacker, EMPTY_FRAMES, |_| frame(DATA, 0, 1, b"")).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held("enhance_your_calm", 2).await;
}

/// A body that waits until its request goes on, and fills memory with what stands around it.
#[tokio::test]
async fn bodies_in_crumbs_that_nobody_reads() {
    let siege = Siege::start_with("", "    buffer: { request: off }\n").await;
    done(&siege.usher, "pause", json!({ "target": "everyone" })).await;
    let mut attacker = siege.attacker().await;
    attacker.bytes(&begin(0)).await;
    let code = siege.flood(attacker, TINY_FRAMES, |_| frame(DATA, 0, 1, b"x")).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    done(&siege.usher, "resume", json!({ "target": "everyone" })).await;
    siege.held("enhance_your_calm", 2).await;
}

/// A body that is read as it comes, until it is too large; what comes after that is no request's.
#[tokio::test]
async fn bodies_in_crumbs() {
    let siege = Siege::start_with("limits: { body: 1KiB }", "").await;
    let mut attacker = siege.attacker().await;
    attacker.bytes(&begin(0)).await;
    let crumbs = 0..2 * (1024 + TINY_FRAMES);
    let code = siege.overrun(attacker, crumbs, |_| frame(DATA, 0, 1, b"x")).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held("enhance_your_calm", 2).await;
}

/// The same within padding, which takes room away from a client that looks at none.
#[tokio::test]
async fn bodies_in_crumbs_that_are_packed_up() {
    let siege = Siege::start_with("limits: { body: 1KiB }", "").await;
    let mut attacker = siege.attacker().await;
    attacker.bytes(&begin(0)).await;
    let (crumbs, packed) = (0..2 * (1024 + TINY_FRAMES), [&[255, b'x'][..], &[0; 255]].concat());
    let code = siege.overrun(attacker, crumbs, |_| frame(DATA, PADDED, 1, &packed)).await;
    assert!([Some(ENHANCE_YOUR_CALM), Some(FLOW_CONTROL_ERROR)].contains(&code), "{code:?}");
    siege.held_by_one_of(&["enhance_your_calm", "flow_control_error"], 2).await;
}

/// Room for an answer, a byte at a time.
#[tokio::test]
async fn room_in_crumbs() {
    let siege = Siege::start().await;
    let mut attacker = siege.attacker().await;
    // No room for any stream to begin with.
    let none = [&4_u16.to_be_bytes()[..], &[0; 4]].concat();
    attacker.frame(SETTINGS, 0, 0, &none).await;
    attacker.bytes(&ask(0)).await;
    let one = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let code = siege.flood(attacker, WINDOW_UPDATES, |_| one.clone()).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held("window_updates", 3).await;
}

/// Answers that are asked for and not taken.
#[tokio::test]
async fn answers_without_room() {
    let siege = Siege::start_with("limits: { write_wait: 300ms }", "").await;
    let mut attacker = siege.attacker().await;
    let none = [&4_u16.to_be_bytes()[..], &[0; 4]].concat();
    attacker.frame(SETTINGS, 0, 0, &none).await;
    let large = b"\x82\x86\x04\x06/large\x41\x01a";
    for n in 0..STREAMS {
        attacker.frame(HEADERS, END_STREAM | END_HEADERS, stream(n), large).await;
    }
    let stalled = |samples: &crate::support::usher::Samples| {
        samples.sum("usher_faults_total", &["client_stalled"])
    };
    let all = async {
        while stalled(&siege.usher.samples()) < f64::from(STREAMS) {
            tokio::task::yield_now().await;
        }
    };
    within(all).await;
    attacker.stream.shutdown().await.expect("it is open");
    attacker.ended().await;
    siege.held("closed", 102).await;
}

/// More requests at once than there may be.
#[tokio::test]
async fn more_streams_than_allowed() {
    let siege = Siege::start().await;
    let attacker = siege.attacker().await;
    let code = siege.flood(attacker, STREAMS + CAUSED_RESETS, begin).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    siege.held("enhance_your_calm", 3).await;
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
    siege.held("closed", 3).await;
}
