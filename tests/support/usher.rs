//! usher, in this process, on free ports.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, thread::JoinHandle};

use usher::{
    app::{self, Ended, Origin, Remote},
    bind::Bind,
    config::{self, Config, LoadOptions},
};

use super::{authority, origin::PATIENCE, wire};

/// A running usher. [`Usher::stop`] checks that nothing is left of what it did.
pub struct Usher {
    pub addresses: Addresses,
    pub remote: Remote,
    thread: JoinHandle<Result<(), Ended>>,
}

/// Where it can be reached over TCP.
pub struct Addresses {
    pub listeners: Vec<SocketAddr>,
    pub control: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

/// Samples of a metrics text, by name with labels.
pub struct Samples(pub BTreeMap<String, f64>);

/// One audience in front of `endpoints`, with more of the pool's keys in `pool`.
pub fn one_pool(endpoints: &[String], pool: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:0{} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\n\
         workers: 2\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools:\n  rails:\n    endpoints: [{}]\n    capacity: 5\n{pool}",
        listener_tls(),
        endpoints.join(", ")
    )
}

/// What a listener of this test binary says about TLS, if it speaks it.
pub fn listener_tls() -> String {
    if !wire::TLS {
        return String::new();
    }
    let shared = authority::shared();
    let shared = shared.display();
    format!(
        ", tls: {{ certificates: [{{ cert: {shared}/shop.crt, key: {shared}/shop.key }}], \
         hosts: any }}"
    )
}

// === impl Usher ===

impl Usher {
    /// Starts usher with the configuration `text`, and waits until it serves.
    pub async fn start(text: &str) -> Self {
        let parsed = config::parse_text("test.yaml", text, &LoadOptions::default());
        let (config, _warnings) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        Self::build(config, Origin::default())
    }

    /// Starts usher with the configuration at `path`, as `usher run --config` does.
    pub async fn start_at(path: &Path) -> Self {
        let loaded = config::load(path, &LoadOptions::default());
        let (config, _warnings) = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let origin = Origin { path: Some(path.to_owned()), ..Origin::default() };
        Self::build(config, origin)
    }

    fn build(config: Config, origin: Origin) -> Self {
        let bound = app::build(config, origin).expect("free ports can be bound");
        let (addresses, remote) = (Addresses::of(&bound), bound.remote());
        let thread = std::thread::spawn(move || bound.run());
        Self { addresses, remote, thread }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.addresses.listeners[0]
    }

    /// The metrics now.
    pub fn samples(&self) -> Samples {
        Samples::parse(&self.remote.metrics())
    }

    /// Waits until `name` (with labels) has `value`; what is counted when an answer's last byte
    /// has gone may be a moment behind the client.
    pub async fn reaches(&self, name: &str, value: f64) {
        let reached = async {
            while self.samples().get(name) != value {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{name} is {} and not {value}", self.samples().get(name));
        }
    }

    /// Stops usher, and checks that everything it began has ended.
    pub async fn stop(self) -> Samples {
        self.remote.stop();
        let thread = self.thread;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        let ended = ended.expect("joining does not panic").expect("usher does not panic");
        ended.expect("usher ends well");
        let samples = Samples::parse(&self.remote.metrics());
        for (name, value) in &samples.0 {
            let gauge = ["usher_requests_in_flight", "usher_connections", "usher_tunnels{"]
                .iter()
                .chain(&["usher_pool_in_flight", "usher_pool_orphans", "usher_pool_queue_length"])
                .chain(&["usher_buffer_bytes"])
                .any(|gauge| name.starts_with(gauge));
            assert!(!gauge || *value == 0.0, "{name} is still {value}");
        }
        samples
    }
}

// === impl Addresses ===

impl Addresses {
    fn of(bound: &app::Bound) -> Self {
        let bound = bound.addresses();
        Self {
            listeners: bound.listeners.iter().filter_map(Bind::socket).collect(),
            control: bound.control.as_ref().and_then(Bind::socket),
            metrics: bound.metrics.as_ref().and_then(Bind::socket),
        }
    }
}

// === impl Samples ===

impl Samples {
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
            (name.to_owned(), value.parse().expect("a value is a number"))
        };
        Self(lines.map(sample).collect())
    }

    /// The sample `name`, labels included; 0 when there is none.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum of all samples of `name` whose labels contain every one of `labels`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        assert!(!name.contains('{'), "{name}: labels are the second argument");
        let prefix = format!("{name}{{");
        let fits = |key: &str| key.starts_with(&prefix) && labels.iter().all(|l| key.contains(l));
        self.0.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).sum()
    }
}
