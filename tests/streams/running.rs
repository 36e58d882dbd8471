//! A real usher that is held to leaving nothing behind.

use std::fs;

use rustix::process::Signal;

use crate::support::{binary::Binary, usher::Samples};

/// Gauges that are at 0 when nothing is going on.
const GAUGES: &[&str] =
    &["usher_requests_in_flight", "usher_connections", "usher_tunnels", "usher_pool_in_flight"];

/// A real usher in front of one pool.
pub struct Running(pub Binary);

// === impl Running ===

impl Running {
    /// Starts usher with `workers` workers in front of `endpoint`; `keys` are more keys of its
    /// pool.
    pub async fn start(workers: usize, endpoint: &str, keys: &str) -> Self {
        let text = format!(
            "access_log: off\n\
             workers: {workers}\n\
             limits: {{ per_client: 100000 }}\n\
             drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
             audiences: [{{ name: everyone, pool: rails }}]\n\
             pools:\n  rails:\n    endpoints: [{endpoint}]\n    capacity: 100\n{keys}"
        );
        Self(Binary::start(&text).await)
    }

    /// What `/proc/PID/status` says of its memory, in KiB: `VmRSS` is what it has, `VmHWM` the most
    /// that it ever had.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = format!("/proc/{}/status", self.0.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).expect("usher runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        kib.expect("a number of KiB")
    }

    /// Stops it when all clients have gone, and checks that nothing of them was left.
    pub async fn stop(mut self) -> Samples {
        let idle = |samples: &Samples| {
            let gauge = |name: &str| {
                let family = name.split('{').next().unwrap_or_default();
                GAUGES.contains(&family)
            };
            samples.0.iter().all(|(name, value)| !gauge(name) || *value == 0.0)
        };
        let samples = self.0.when("all gauges are at 0", idle).await;
        self.0.signal(Signal::TERM);
        let status = self.0.ended();
        let log = self.0.log();
        assert!(status.success(), "{status}; its log:\n{log}");
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
        samples
    }
}
