//! Pipelines of generated requests, however they are framed and cut, reach the origin as they were
//! meant: a second reader of requests, which shares nothing with the codec, says so.
//!
//! Transport: HTTP/1.1 in plain text; this is about how its bytes are read.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "http/recorder.rs"]
mod recorder;
#[path = "http/strict.rs"]
mod strict;
mod support;

use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};
use recorder::Recorder;
use support::{
    client::Client,
    usher::{Usher, one_pool},
};

const CASES: u32 = 256;
const HIDDEN: &[u8] = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A request before it is written down.
#[derive(Clone, Debug)]
struct Meant {
    method: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(Vec<u8>, usize),
    Chunks(Vec<Chunk>, Vec<(String, String)>),
}

/// Whether a body waits until it is whole.
#[derive(Clone, Copy)]
enum Upload {
    Gathered,
    Streamed,
}

/// Data, how many zeros its size begins with, and an extension.
type Chunk = (Vec<u8>, usize, &'static str);

// === impl Meant ===

impl Meant {
    fn any() -> impl Strategy<Value = Self> {
        (
            select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]),
            "/[a-z0-9;=~_/-]{0,20}(\\?[a-z0-9&=?/{}|%]{0,20})?",
            fields(),
            Body::any(),
        )
            .prop_map(|(method, target, fields, body)| Self {
                method,
                target,
                fields,
                body,
            })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let line = format!("{} {} HTTP/1.1\r\nHost: shop.example\r\n", self.method, self.target);
        bytes.extend_from_slice(line.as_bytes());
        write_fields(bytes, &self.fields);
        match &self.body {
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Length(body, zeros) => {
                let length = format!("{}{}", "0".repeat(*zeros), body.len());
                bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
                bytes.extend_from_slice(body);
            }
            Body::Chunks(chunks, trailers) => {
                // What is streamed can only be passed on when it has been announced.
                let names: Vec<_> = trailers.iter().map(|(name, _)| &**name).collect();
                let announced = format!("Trailer: {}\r\n", names.join(", "));
                bytes.extend_from_slice(announced.as_bytes());
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for (data, zeros, extension) in chunks.iter().filter(|chunk| !chunk.0.is_empty()) {
                    let size = format!("{}{:x}", "0".repeat(*zeros), data.len());
                    bytes.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                    bytes.extend_from_slice(data);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                write_fields(bytes, trailers);
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// What of it differs from what reached the origin.
    fn differs(&self, reached: &strict::Request, upload: Upload) -> Option<&'static str> {
        let (body, trailers) = match &self.body {
            Body::None => (Vec::new(), &[][..]),
            Body::Length(body, _) => (body.clone(), &[][..]),
            Body::Chunks(chunks, trailers) => {
                (chunks.iter().flat_map(|chunk| chunk.0.clone()).collect(), &trailers[..])
            }
        };
        let holds = |fields: &[(String, Vec<u8>)], meant: &(String, String)| {
            fields.iter().any(|(name, value)| *name == meant.0 && *value == meant.1.as_bytes())
        };
        let chunked = match upload {
            Upload::Gathered => !trailers.is_empty(),
            Upload::Streamed => matches!(self.body, Body::Chunks(..)),
        };
        let framed = reached.chunked || !reached.body.is_empty();
        if reached.line != format!("{} {} HTTP/1.1", self.method, self.target) {
            Some("the line")
        } else if reached.body != body {
            Some("the body")
        } else if matches!(self.body, Body::None) && framed {
            Some("a body out of nothing")
        } else if reached.chunked != chunked {
            Some("the framing")
        } else if !self.fields.iter().all(|field| holds(&reached.fields, field)) {
            Some("the fields")
        } else if !trailers.iter().all(|field| holds(&reached.trailers, field)) {
            Some("the trailers")
        } else {
            None
        }
    }
}

// === impl Body ===

impl Body {
    fn any() -> impl Strategy<Value = Self> {
        let chunk = (data(), 0usize..4, select(vec!["", ";a", ";a=b", ";a=\"b;c\""]));
        prop_oneof![
            Just(Body::None),
            (data(), 0usize..4).prop_map(|(data, zeros)| Body::Length(data, zeros)),
            (prop::collection::vec(chunk, 0..5), fields())
                .prop_map(|(chunks, trailers)| Body::Chunks(chunks, trailers)),
        ]
    }
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        Just(HIDDEN.to_vec()),
        (1usize..3000).prop_map(|length| vec![b'\n'; length]),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("x-a-[a-z0-9-]{1,8}", "[!-~]([ -~]{0,12}[!-~])?"), 0..4)
}

fn write_fields(bytes: &mut Vec<u8>, fields: &[(String, String)]) {
    for (name, value) in fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
}

#[test]
fn what_is_gathered_reaches_the_origin_as_it_was_meant() {
    check("", Upload::Gathered);
}

#[test]
fn what_is_streamed_reaches_the_origin_as_it_was_meant() {
    check("    buffer: { request: off }\n", Upload::Streamed);
}

/// Plays generated pipelines through an usher whose pool has these keys.
fn check(pool: &str, upload: Upload) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (recorder, usher) = runtime.block_on(async {
        let recorder = Recorder::start().await;
        let usher = Usher::start(&one_pool(&[recorder.address.to_string()], pool)).await;
        (recorder, usher)
    });
    let pipelines =
        (prop::collection::vec(Meant::any(), 1..6), prop::collection::vec(any::<Index>(), 0..6));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..Default::default()
    });
    let result = runner.run(&pipelines, |(meant, cuts)| {
        recorder.take();
        let served = runtime.block_on(play(&usher, &meant, &cuts));
        prop_assert_eq!(served, meant.len());
        let record = recorder.take();
        prop_assert_eq!(&record.problems, &[""; 0]);
        prop_assert_eq!(record.requests.len(), meant.len());
        for (meant, reached) in meant.iter().zip(&record.requests) {
            prop_assert_eq!(meant.differs(reached, upload), None, "{:?}", reached);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    runtime.block_on(usher.stop());
}

/// Sends the pipeline in pieces; how many of its requests were served.
async fn play(usher: &Usher, meant: &[Meant], cuts: &[Index]) -> usize {
    let mut bytes = Vec::new();
    for request in meant {
        request.write(&mut bytes);
    }
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    let mut client = Client::connect(usher.address()).await;
    for ends in ends.windows(2) {
        client.send(&bytes[ends[0]..ends[1]]).await;
        tokio::task::yield_now().await;
    }
    for served in 0..meant.len() {
        let mut answer = client.answer().await;
        while answer.status < 200 {
            answer = client.answer().await;
        }
        if answer.status != 200 {
            return served;
        }
    }
    meant.len()
}
