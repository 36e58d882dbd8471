//! A real Prometheus on a free port, started for one test.

// Each test program uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use regex::{Captures, Regex};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::origin::PATIENCE;

/// The configuration that the project ships.
const SHIPPED: &str = include_str!("../../config/prometheus/prometheus.yml");

/// The name of its file.
const CONFIG: &str = "prometheus.yml";

/// A Prometheus. Dropping it kills it.
pub struct Prometheus {
    /// Where it listens.
    pub address: String,
    child: Child,
    directory: TempDir,
}

/// An Alertmanager. Dropping it kills it.
pub struct Alertmanager {
    /// Where it listens.
    pub address: String,
    child: Child,
    _directory: TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    /// Scrapes `targets` every second as the shipped configuration says, judges by `rules`, and
    /// tells the Alertmanager at `alertmanager`.
    pub fn start(targets: &[&str], rules: &str, alertmanager: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        configure(directory.path(), targets, rules, alertmanager);
        let (file, data) = (directory.path().join(CONFIG), directory.path().join("data"));
        let (child, address) = launch(
            Command::new("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg("--web.listen-address=127.0.0.1:0"),
        );
        Self { address, child, directory }
    }

    /// Has it scrape `targets`, judge by `rules` and tell `alertmanager` from now on.
    pub fn reload(&self, targets: &[&str], rules: &str, alertmanager: &str) {
        configure(self.directory.path(), targets, rules, alertmanager);
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), Signal::HUP).expect("the child is ours to signal");
    }

    /// What its API says at `path` to these parameters.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--get"]);
        for (name, value) in parameters {
            curl.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let output = curl.arg(format!("http://{}{path}", self.address)).output();
        // It answers 503 in plain text until it has started.
        serde_json::from_slice(&output.expect("curl can be run").stdout).unwrap_or_default()
    }

    /// What it answers to `query` for this moment.
    pub fn ask(&self, query: &str) -> Value {
        self.get("/api/v1/query", &[("query", query)])
    }

    /// Waits until what it answers to `query` fits.
    pub async fn when(&self, query: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let reached = async {
            loop {
                let answer = self.ask(query);
                if answer["status"] == "success" && fits(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(answer) => answer,
            Err(_late) => panic!("never: {query}: {:#}", self.ask(query)),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Alertmanager ===

impl Alertmanager {
    /// Tells of pages at the URL `webhook`, as the shipped configuration says, only sooner.
    pub fn start(webhook: &str) -> Self {
        let hook = format!("  - name: pages\n    webhook_configs: [{{ url: \"{webhook}\" }}]\n");
        let config = include_str!("../../config/alertmanager/alertmanager.yml")
            .replace("  - name: pages\n", &hook)
            .replace("group_wait: 10s", "group_wait: 1s")
            .replace("group_interval: 1m", "group_interval: 1s");
        assert!(config.contains(webhook) && !config.contains(": 1m") && !config.contains(": 10s"));
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let file = directory.path().join("alertmanager.yml");
        fs::write(&file, config).expect("it can be written");
        let (child, address) = launch(
            Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.path={}", directory.path().join("data").display()))
                .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]),
        );
        Self { address, child, _directory: directory }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the shipped configuration into `directory`, adapted.
fn configure(directory: &Path, targets: &[&str], rules: &str, alertmanager: &str) {
    let config = SHIPPED
        .replace("usher:9901", &targets.join(", "))
        .replace("alertmanager:9093", alertmanager)
        .replace("_interval: 5s", "_interval: 1s")
        .replace("scrape_timeout: 4s", "scrape_timeout: 1s");
    assert!(config.contains(alertmanager) && !config.contains("5s") && !config.contains("4s"));
    assert!(targets.iter().all(|target| config.contains(target)), "{config}");
    fs::write(directory.join("usher-rules.yaml"), rules).expect("it can be written");
    fs::write(directory.join(CONFIG), config).expect("it can be written");
}

/// Starts a program of the Prometheus family, and returns it and where it listens.
pub fn launch(command: &mut Command) -> (Child, String) {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut said = String::new();
    let address = log.by_ref().map_while(Result::ok).find_map(|line| {
        said += &format!("{line}\n");
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        Some(address.trim().to_owned())
    });
    // Read on, so that it never waits for us.
    thread::spawn(move || log.map_while(Result::ok).for_each(drop));
    let Some(address) = address else { panic!("it does not listen:\n{said}") };
    (child, address)
}

/// The rules that `usher rules` writes for the configuration in `file`.
pub fn rules(file: &Path) -> String {
    let output = crate::support::binary::said(&[
        "rules",
        "--config",
        file.to_str().expect("a path that is text"),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// `rules` in compressed time: every duration by which Prometheus evaluates is a sixtieth of what
/// it was, an hour a minute. Names, labels and thresholds stay as they are: a share of a budget
/// is the same share of a budget that is sixty times as small.
pub fn compressed(rules: &str) -> String {
    let durations = Regex::new(r"\d+[smhd]\b").expect("a pattern");
    let places = Regex::new(r"(?m)\[[0-9smhd:]+\]|^ +(?:interval|for): \w+$").expect("a pattern");
    let shorter = |duration: &Captures<'_>| {
        let (number, unit) = duration[0].split_at(duration[0].len() - 1);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => 86_400,
        };
        let number: u64 = number.parse().expect("a number");
        format!("{}ms", number * seconds * 1_000 / 60)
    };
    let text = places.replace_all(rules, |place: &Captures<'_>| {
        durations.replace_all(&place[0], shorter).into_owned()
    });
    text.into_owned()
}
