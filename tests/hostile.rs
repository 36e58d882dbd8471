//! Odd and hostile requests through a whole usher, in front of an origin that writes down
//! everything it gets.
//!
//! Transport: HTTP/1.1 in plain text; this is about its bytes. `http2` has hostile ones of its own.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "http/corpus.rs"]
mod corpus;
#[path = "http/recorder.rs"]
mod recorder;
#[path = "http/strict.rs"]
mod strict;
mod support;

use corpus::{Case, NEXT};
use recorder::{Record, Recorder};
use support::{
    client::{Answer, Client},
    origin::{Origin, PATIENCE, ok},
    usher::{Samples, Usher, one_pool},
};
use tokio::io::AsyncWriteExt;
use usher::fault::Fault;

/// usher in front of an origin that records.
struct Stage {
    recorder: Recorder,
    usher: Usher,
}

/// How a case's bytes are cut into writes.
#[derive(Clone, Copy)]
enum Cut {
    Whole,
    /// Each byte alone; a long input in pieces.
    Bytes,
}

// === impl Stage ===

impl Stage {
    async fn set() -> Self {
        let recorder = Recorder::start().await;
        let endpoint = recorder.address.to_string();
        let usher = Usher::start(&one_pool(&[endpoint], "")).await;
        Self { recorder, usher }
    }

    /// Plays one case, and says what was wrong.
    async fn play(&self, case: &Case, cut: Cut) -> Result<(), String> {
        self.recorder.take();
        let before = self.faults(case);
        let mut client = Client::connect(self.usher.address()).await;
        self.send(&mut client, case, cut).await;
        for word in case.expect.iter().filter(|word| *word != "close" && *word != "left") {
            let answer = final_answer(&mut client).await;
            let fault = answer.field("x-usher-fault").unwrap_or("ok").to_owned();
            let closes = answer.field("connection") == Some("close");
            if fault != *word || answer.status != status(word) {
                return Err(format!("{word} was expected, {} {fault} came", answer.status));
            }
            if fault != "ok" && !closes {
                return Err("a refusal does not say that it closes".to_owned());
            }
        }
        let goes_on = case.ends_in("ok");
        if goes_on && client.answer().await.status != 200 {
            return Err("the next request is not served".to_owned());
        }
        let more = client.closed().await;
        if !more.is_empty() {
            return Err(format!("more came: {}", more.escape_ascii()));
        }
        drop(client);
        self.idle().await;
        if self.faults(case) != before + f64::from(u8::from(case.fault().is_some())) {
            return Err("the fault was not counted once".to_owned());
        }
        judge(case, &self.recorder.take())?;
        self.fresh().await
    }

    async fn send(&self, client: &mut Client, case: &Case, cut: Cut) {
        let next = if case.ends_in("left") { &b""[..] } else { NEXT };
        let bytes = [&case.bytes, next].concat();
        let size = match cut {
            Cut::Whole => bytes.len(),
            Cut::Bytes => 1 + bytes.len() / 500,
        };
        for piece in bytes.chunks(size) {
            // usher may have said all that it has to say and gone.
            if client.stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if case.ends_in("left") {
            client.stream.shutdown().await.expect("usher has not closed");
        }
    }

    /// A request on a connection of its own is served as ever.
    async fn fresh(&self) -> Result<(), String> {
        let mut client = Client::connect(self.usher.address()).await;
        let answer = client.get("/fresh").await;
        drop(client);
        self.idle().await;
        let record = self.recorder.take();
        let lines: Vec<_> = record.requests.iter().map(|request| &*request.line).collect();
        if answer.status != 200 || lines != ["GET /fresh HTTP/1.1"] {
            return Err(format!("a fresh request: {} for {lines:?}", answer.status));
        }
        Ok(())
    }

    /// Waits until nothing is in progress.
    async fn idle(&self) {
        let idle = async {
            while !is_idle(&self.usher.samples()) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, idle).await.is_err() {
            panic!("something is still in progress: {:?}", self.usher.samples().0);
        }
    }

    /// How often the case's fault has been counted.
    fn faults(&self, case: &Case) -> f64 {
        let label = format!("fault=\"{}\"", case.fault().unwrap_or("none at all"));
        self.usher.samples().sum("usher_faults_total", &[&label])
    }
}

/// The next answer that is not 1xx.
async fn final_answer(client: &mut Client) -> Answer {
    loop {
        let answer = client.answer().await;
        if answer.status >= 200 {
            return answer;
        }
    }
}

/// Whether what reached the origin is what the case says.
fn judge(case: &Case, record: &Record) -> Result<(), String> {
    if !record.problems.is_empty() {
        return Err(format!("the origin refuses what it got: {:?}", record.problems));
    }
    let reached = case.served() + usize::from(case.ends_in("ok"));
    if record.requests.len() != reached {
        let lines: Vec<_> = record.requests.iter().map(|request| &request.line).collect();
        return Err(format!("{reached} requests were to reach the origin: {lines:?}"));
    }
    if reached == 0 && record.bytes > 0 {
        return Err(format!("{} bytes reached the origin", record.bytes));
    }
    let lines: Vec<_> = record.requests.iter().map(|request| &*request.line).collect();
    if !case.seen.is_empty() && case.seen != lines {
        return Err(format!("the origin saw {lines:?}"));
    }
    let Some(first) = record.requests.first() else { return Ok(()) };
    for (name, value) in &case.has {
        let values: Vec<_> = first.fields.iter().filter(|(known, _)| known == name).collect();
        if values.len() != 1 || values[0].1 != *value {
            return Err(format!("{name} is {values:?}"));
        }
    }
    for request in &record.requests {
        let mut names = request.fields.iter().chain(&request.trailers).map(|(name, _)| name);
        if let Some(name) = names.find(|name| case.lacks.contains(name)) {
            return Err(format!("{name} reached the origin"));
        }
    }
    match &case.body {
        Some(body) if *body != first.body => Err(format!("body: {}", first.body.escape_ascii())),
        _ => Ok(()),
    }
}

fn status(word: &str) -> u16 {
    let fault = Fault::ALL.iter().find(|fault| fault.name() == word);
    fault.map_or(200, |fault| fault.status().as_u16())
}

fn is_idle(samples: &Samples) -> bool {
    let gauges = [
        "usher_requests_in_flight",
        "usher_connections",
        "usher_pool_in_flight",
        "usher_pool_orphans",
        "usher_pool_queue_length",
    ];
    let busy = |name: &str| gauges.iter().any(|gauge| name.starts_with(gauge));
    samples.0.iter().all(|(name, value)| !busy(name) || *value == 0.0)
}

async fn play_all(cut: Cut) {
    let stage = Stage::set().await;
    let mut wrong = String::new();
    for case in corpus::all() {
        if let Err(problem) = stage.play(&case, cut).await {
            wrong += &format!("\n{}: {problem}", case.title);
        }
    }
    stage.usher.stop().await;
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn each_odd_request_is_refused_or_passed_on_as_the_corpus_says() {
    play_all(Cut::Whole).await;
}

#[tokio::test]
async fn the_verdict_does_not_depend_on_how_the_bytes_were_cut() {
    play_all(Cut::Bytes).await;
}

#[tokio::test]
async fn each_request_of_a_pipeline_is_decided_alone_and_answered_in_its_turn() {
    let (customers, drivers) = (Origin::start().await, Origin::start().await);
    let text = one_pool(&[customers.endpoint()], "").replace(
        "audiences: [",
        "audiences: [{ name: driver, pool: driver, match: [{ host: driver.example }] }, ",
    );
    let text = format!("{text}  driver: {{ endpoints: [{}], capacity: 5 }}\n", drivers.endpoint());
    customers.serve(|asked| ok(&format!("customer {}", asked.target())));
    drivers.serve(|asked| ok(&format!("driver {}", asked.target())));
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    let who = |number: usize| if number.is_multiple_of(3) { "driver" } else { "customer" };
    let requests: String = (0..50)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: {}.example\r\n\r\n", who(number)))
        .collect();
    client.send(requests).await;
    for number in 0..50 {
        let answer = client.answer().await;
        assert_eq!(answer.text(), format!("{} /{number}", who(number)));
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["audience=\"driver\""]), 17.0);
}
