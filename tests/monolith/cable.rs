//! Action Cable's own client through usher: it hears its echo, and when usher drains it comes back
//! by itself, to whoever serves then.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    puma::Puma,
    support::{
        binary::{Binary, lives},
        usher::Samples,
    },
};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails/client/lasting.js");

/// A browser on a page with a cable, killed when the test ends.
struct Page {
    client: Child,
    says: ChildStdin,
    hears: Lines<BufReader<ChildStdout>>,
}

// === impl Page ===

impl Page {
    fn open(usher: &Binary) -> Self {
        let mut client = Command::new("node")
            .env("NODE_PATH", "/usr/share/nodejs")
            .args([CLIENT, &format!("ws://{}/cable", usher.clients), "http://localhost:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run has installed node");
        let says = client.stdin.take().expect("a pipe");
        let hears = BufReader::new(client.stdout.take().expect("a pipe")).lines();
        Self { client, says, hears }
    }

    /// What happens next there. Its client tells of an end and of a beginning within seconds.
    fn hears(&mut self) -> Value {
        let line = self.hears.next().expect("it runs").expect("text");
        serde_json::from_str(&line).expect("JSON")
    }

    fn says(&mut self, text: &str) {
        writeln!(self.says, "{text}").expect("it runs");
        let expected = json!({ "pool": "rails", "echo": text });
        assert_eq!(self.hears(), expected);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[tokio::test]
async fn action_cables_client_comes_back_to_the_process_that_has_taken_over() {
    let puma = Puma::start("rails", 2, 0);
    let text = format!(
        "workers: 2\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 2s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 2 }} }}\n",
        puma.address
    );
    let mut usher = Binary::start(&text).await;
    let mut page = Page::open(&usher);
    let welcome = json!({ "pool": "rails", "welcome": true });
    assert_eq!(page.hears(), welcome);
    page.says("one");
    // The slot has been free since the 101: Action Cable has taken the socket off Puma's thread.
    let samples = usher.samples().await;
    assert_eq!(samples.sum("usher_pool_in_flight", &[]), 0.0);
    assert_eq!(samples.sum("usher_tunnels", &[]), 1.0);

    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(page.hears(), json!({ "disconnected": true, "comes_back": true }));
    assert_eq!(page.hears(), welcome, "it has subscribed again");
    page.says("two");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let again = |samples: &Samples| {
        samples.sum("usher_tunnels_closed_total", &["drained"]) == 1.0
            && samples.sum("usher_tunnels", &[]) == 1.0
    };
    let samples = usher.when("it is counted at the new one", again).await;
    assert_eq!(samples.sum("usher_requests_total", &["\"101\"", "served"]), 2.0);
    kill_process(heir, Signal::TERM).expect("it runs");
    assert_eq!(page.hears(), json!({ "disconnected": true, "comes_back": true }));
    while lives(heir) {
        tokio::task::yield_now().await;
    }
}
