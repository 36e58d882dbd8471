//! The real program, with a configuration of its own, until it is dropped.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::NamedTempFile;

pub struct Program {
    pub address: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    child: Child,
    _config: NamedTempFile,
}

// === impl Program ===

impl Program {
    /// Starts `usher run` in front of `endpoint`, and returns once it says where it listens.
    pub fn start(endpoint: &str, limits: &str) -> Self {
        let config = NamedTempFile::with_suffix(".yaml").expect("a file can be made");
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
             control: off\n\
             metrics: {{ bind: 127.0.0.1:0 }}\n\
             access_log: off\n\
             limits: {{ {limits} }}\n\
             drain: {{ grace: 0s }}\n\
             audiences: [{{ name: everyone, pool: rails }}]\n\
             pools: {{ rails: {{ endpoints: [\"{endpoint}\"], capacity: 5 }} }}\n"
        );
        std::fs::write(config.path(), text).expect("it can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_usher"))
            .args(["run", "--config"])
            .arg(config.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("usher runs");
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let address = announced(&mut said, "serving on http://");
        let metrics = announced(&mut said, "metrics on http://");
        // What it says later must not fill the pipe.
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { address, metrics, child, _config: config }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; there is nothing else that could fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address behind `words`, once a line says it.
fn announced(said: &mut impl BufRead, words: &str) -> SocketAddr {
    let mut line = String::new();
    while said.read_line(&mut line).expect("standard error is text") > 0 {
        if let Some((_, rest)) = line.split_once(words) {
            let address = rest.trim_end().trim_end_matches("/metrics");
            return address.parse().expect("an address");
        }
        line.clear();
    }
    panic!("usher ended before it said {words:?}");
}
