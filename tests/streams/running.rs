//! The real usher, in a process of its own, on free ports.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{client::Client, origin::PATIENCE, usher::Samples};

/// A running usher. Dropping it kills it.
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    metrics: SocketAddr,
    child: Child,
    log: Option<JoinHandle<String>>,
    _directory: TempDir,
}

/// Gauges that are at 0 when nothing is going on.
const GAUGES: &[&str] =
    &["usher_requests_in_flight", "usher_connections", "usher_tunnels", "usher_pool_in_flight"];

// === impl Running ===

impl Running {
    /// Starts usher with the configuration `text`, which has one listener and a port for metrics,
    /// and returns once it serves.
    pub fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let config = directory.path().join("usher.yaml");
        fs::write(&config, text).expect("the configuration can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_usher"))
            .args(["run", "--config"])
            .arg(&config)
            .env_remove("USHER_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("usher can be run");
        let mut log = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let mut said = String::new();
        let mut find = |word: &str| -> SocketAddr {
            loop {
                let from = said.len();
                let read = log.read_line(&mut said).expect("the log is text");
                assert!(read > 0, "usher did not start; its log:\n{said}");
                if let Some((_, rest)) = said[from..].split_once(word) {
                    let address = rest.trim_end().split('/').next().unwrap_or_default();
                    return address.parse().expect("an address is announced");
                }
            }
        };
        let address = find("serving on http://");
        let metrics = find("metrics on http://");
        let log = thread::spawn(move || {
            log.read_to_string(&mut said).expect("the log is text");
            said
        });
        Self { address, metrics, child, log: Some(log), _directory: directory }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `/proc/PID/status` says of its memory, in KiB: `VmRSS` is what it has, `VmHWM` the most
    /// that it ever had.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("usher runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        kib.expect("a number of KiB")
    }

    /// What Prometheus would scrape now.
    pub async fn samples(&self) -> Samples {
        let mut client = Client::connect(self.metrics).await;
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        Samples::parse(client.answer().await.text())
    }

    /// Waits until all clients have gone and nothing that they began is left.
    pub async fn settled(&self) -> Samples {
        let settled = async {
            loop {
                let samples = self.samples().await;
                if busy(&samples).is_empty() {
                    return samples;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, settled).await {
            Ok(samples) => samples,
            Err(_late) => panic!("not at 0: {:?}", busy(&self.samples().await)),
        }
    }

    /// Asks it to stop, and checks that it ends well.
    pub fn stop(mut self) {
        kill_process(self.pid(), Signal::TERM).expect("the child is ours to signal");
        let status = self.child.wait().expect("the child is ours to wait for");
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        assert!(ExitStatus::success(&status), "{status}; its log:\n{log}");
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process id is positive")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where `stop` was called.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn busy(samples: &Samples) -> Vec<(&String, &f64)> {
    let gauge = |name: &str| {
        GAUGES
            .iter()
            .any(|gauge| name.strip_prefix(gauge).is_some_and(|rest| rest.starts_with('{')))
    };
    samples.0.iter().filter(|(name, value)| gauge(name) && **value != 0.0).collect()
}
