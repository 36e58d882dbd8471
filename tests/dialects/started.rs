//! What nearly every test here begins with.

use usher::config::{self, LoadOptions};

use crate::support::{
    usher::{Usher, listener_tls},
    wire,
};

/// A directory with a configuration of one pool, and an usher that runs by it.
pub struct House {
    pub usher: Usher,
    pub directory: tempfile::TempDir,
}

impl House {
    /// An usher in front of `endpoint`, with more of the pool's keys in `pool`.
    pub async fn open(directory: tempfile::TempDir, endpoint: &str, pool: &str) -> Self {
        Self::open_with(directory, &text(endpoint, pool)).await
    }

    /// An usher that runs by `text`.
    pub async fn open_with(directory: tempfile::TempDir, text: &str) -> Self {
        let path = directory.path().join("usher.yaml");
        std::fs::write(&path, text).expect("it can be written");
        Self { usher: Usher::start_at(&path).await, directory }
    }
}

/// A configuration of one pool, whose listener speaks to clients as this test binary does; without
/// TLS, HTTP/2 as well.
pub fn text(endpoint: &str, pool: &str) -> String {
    let spoken = if wire::TLS { listener_tls() } else { ", h2c: on".to_owned() };
    format!(
        "listeners: [{{ bind: 127.0.0.1:0{spoken} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5, {pool} }} }}\n"
    )
}

/// What is said about a configuration with `pool`, a problem a line.
pub fn said(directory: &std::path::Path, endpoint: &str, pool: &str) -> Vec<String> {
    let path = directory.join("said.yaml");
    std::fs::write(&path, text(endpoint, pool)).expect("it can be written");
    let problems = config::check(&path, &LoadOptions::default());
    problems.as_slice().iter().map(|it| format!("{:?}: {}", it.severity, it.message)).collect()
}
