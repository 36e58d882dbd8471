//! How endpoints are spoken to where they want more than plain HTTP/1.1.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod http2;
mod interim;
mod introductions;
mod origin2;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod vault;
mod websocket;

use usher::config::{self, LoadOptions};

use support::usher::Usher;

/// A directory with a configuration of one pool, and an usher that runs by it.
struct House {
    usher: Usher,
    directory: tempfile::TempDir,
}

impl House {
    /// An usher in front of `endpoint`, with more of the pool's keys in `pool`.
    async fn open(directory: tempfile::TempDir, endpoint: &str, pool: &str) -> Self {
        Self::open_with(directory, &text(endpoint, pool)).await
    }

    /// An usher that runs by `text`.
    async fn open_with(directory: tempfile::TempDir, text: &str) -> Self {
        let path = directory.path().join("usher.yaml");
        std::fs::write(&path, text).expect("it can be written");
        Self { usher: Usher::start_at(&path).await, directory }
    }
}

fn text(endpoint: &str, pool: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:0, h2c: on }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5, {pool} }} }}\n"
    )
}

/// What is said about a configuration with `pool`, a problem a line.
fn said(directory: &std::path::Path, endpoint: &str, pool: &str) -> Vec<String> {
    let path = directory.join("said.yaml");
    std::fs::write(&path, text(endpoint, pool)).expect("it can be written");
    let problems = config::check(&path, &LoadOptions::default());
    problems.as_slice().iter().map(|it| format!("{:?}: {}", it.severity, it.message)).collect()
}
