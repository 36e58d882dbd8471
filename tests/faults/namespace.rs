//! A network of its own, from which answers can be kept.

use std::{
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

/// A namespace with one link to this one. Dropping it takes it away.
pub struct Namespace {
    name: String,
    link: u8,
}

// === impl Namespace ===

impl Namespace {
    /// Needs root.
    pub fn new() -> Self {
        static LAST: AtomicU8 = AtomicU8::new(0);
        let link = LAST.fetch_add(1, Ordering::Relaxed);
        let it = Self { name: format!("usher-{}-{link}", std::process::id()), link };
        let [near, far] = ["a", "b"].map(|end| it.end(end));
        ip(&["netns", "add", &it.name]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &it.name]);
        ip(&["address", "add", &format!("{}/30", it.near()), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        it.within(&["address", "add", &format!("{}/30", it.host()), "dev", &far]);
        it.within(&["link", "set", &far, "up"]);
        it.within(&["link", "set", "lo", "up"]);
        it
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// An address in it.
    pub fn address(&self, port: &str) -> String {
        format!("{}:{port}", self.host())
    }

    /// From now on nothing comes back from there, of new connections and of old ones.
    pub fn swallow(&self) {
        self.within(&["route", "add", "blackhole", &format!("{}/32", self.near())]);
    }

    /// What comes from there arrives again.
    pub fn release(&self) {
        self.within(&["route", "del", "blackhole", &format!("{}/32", self.near())]);
    }

    fn end(&self, end: &str) -> String {
        format!("us{}{}{end}", std::process::id() % 1_000_000, self.link)
    }

    /// Links of several processes are not to meet.
    fn subnet(&self) -> u32 {
        std::process::id() % 60 * 4 + u32::from(self.link) * 240
    }

    fn near(&self) -> String {
        format!("198.18.{}.{}", 100 + self.subnet() / 240, self.subnet() % 240 + 1)
    }

    fn host(&self) -> String {
        format!("198.18.{}.{}", 100 + self.subnet() / 240, self.subnet() % 240 + 2)
    }

    fn within(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip is installed");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}; this needs root");
}
