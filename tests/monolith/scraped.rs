//! A real Prometheus scrapes usher, and answers for each audience.

use serde_json::Value;

use super::{shop::Shop, visitor::Visitor};
use crate::prometheus::{Prometheus, rules};

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

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

#[tokio::test]
async fn prometheus_scrapes_usher_and_shows_how_each_audience_fares() {
    let shop = Shop::open_with_one_pool().await;
    let prometheus = Prometheus::start(
        &[&shop.usher.metrics.to_string()],
        &rules(&shop.usher.config()),
        NOWHERE,
    );
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
