//! A real Prometheus scrapes usher, and answers for each audience.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{shop::Shop, visitor::Visitor};
use crate::support::origin::PATIENCE;

/// The configuration that the project ships.
const CONFIG: &str = include_str!("../../config/prometheus/prometheus.yml");

/// Where it is said what can be asked.
const QUESTIONS: &str = include_str!("../../docs/metrics.md");

/// What each audience asks for, and how often.
const ASKED: [(&str, u32, &str); 5] = [
    ("admin", 3, "GET /admin HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n"),
    ("customer", 40, "GET /up HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("driver", 20, "GET /api/driver/echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("restaurant", 10, "GET /up HTTP/1.1\r\nHost: kitchen.example.com\r\n\r\n"),
    ("webhooks", 5, "POST /webhooks/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
];

/// A Prometheus that scrapes one usher. Dropping it kills it.
struct Prometheus {
    address: String,
    child: Child,
    _directory: TempDir,
}

#[tokio::test]
async fn prometheus_scrapes_usher_and_shows_how_each_audience_fares() {
    let shop = Shop::open_with_one_pool().await;
    let prometheus = Prometheus::start(&shop.usher.metrics.to_string());
    // Everything is at 0 from the start, so that what comes next is an increase.
    let each = |answer: &Value, fits: &dyn Fn(f64, f64) -> bool| {
        let values = values(answer);
        ASKED.iter().all(|(audience, count, _)| {
            let found = values.iter().find(|(name, _)| name == audience);
            found.is_some_and(|(_, value)| fits(*value, f64::from(*count)))
        })
    };
    let total = "sum by (audience) (usher_requests_total)";
    prometheus.when(total, |answer| each(answer, &|value, _| value == 0.0)).await;

    let mut visitor = Visitor::new(shop.usher.clients);
    for (audience, count, request) in ASKED {
        for _ in 0..count {
            let answer = visitor.ask(request).await.expect("an answer");
            assert_eq!(answer.status, 200, "{audience}: {answer:?}");
        }
    }
    prometheus.when(total, |answer| each(answer, &|value, count| value == count)).await;
    for grown in [
        "sum by (audience) (increase(usher_requests_total[5m]))",
        "sum by (audience) (increase(usher_first_byte_seconds_bucket{le=\"60.0\"}[5m]))",
    ] {
        prometheus.when(grown, |answer| each(answer, &|value, _| value > 0.0)).await;
    }

    let questions: Vec<&str> = QUESTIONS
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("? | `"))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert!(questions.len() >= 7, "{questions:?}");
    for question in questions {
        assert_eq!(prometheus.ask(question)["status"], "success", "{question}");
    }
}

/// The values of an instant vector, with the audience of each.
fn values(answer: &Value) -> Vec<(String, f64)> {
    let value = |sample: &Value| {
        let audience = sample["metric"]["audience"].as_str().unwrap_or_default().to_owned();
        let value = sample["value"][1].as_str().and_then(|value| value.parse().ok());
        (audience, value.expect("a number"))
    };
    answer["data"]["result"].as_array().expect("a vector").iter().map(value).collect()
}

// === impl Prometheus ===

impl Prometheus {
    /// Scrapes `target` as the project's configuration says, only more often.
    fn start(target: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let config = CONFIG
            .replace("usher:9901", target)
            .replace("_interval: 5s", "_interval: 1s")
            .replace("scrape_timeout: 4s", "scrape_timeout: 1s");
        assert!(config.contains(target) && !config.contains("5s") && !config.contains("4s"));
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, config).expect("the configuration can be written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus can be run");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = String::new();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            said += &format!("{line}\n");
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(address.trim().to_owned())
        });
        // Read on, so that it never waits for us.
        thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        let Some(address) = address else { panic!("prometheus does not listen:\n{said}") };
        Self { address, child, _directory: directory }
    }

    fn ask(&self, query: &str) -> Value {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--get", "--data-urlencode"])
            .arg(format!("query={query}"))
            .arg(format!("http://{}/api/v1/query", self.address))
            .output()
            .expect("curl can be run");
        // It answers 503 in plain text until it has started.
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Waits until what it answers to `query` fits.
    async fn when(&self, query: &str, fits: impl Fn(&Value) -> bool) {
        let reached = async {
            loop {
                let answer = self.ask(query);
                if answer["status"] == "success" && fits(&answer) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("never: {query}: {:#}", self.ask(query));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
