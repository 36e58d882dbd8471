//! Every expression of every dashboard, asked of a real Prometheus as Grafana would ask it.

use std::{collections::BTreeSet, process::Command};

use regex::Regex;
use serde_json::Value;

use crate::{
    prometheus::{Prometheus, compressed, rules},
    puma::Plan,
    support::{
        authority,
        binary::{Binary, said},
    },
};

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// What Grafana takes for `$__rate_interval` at six hours on a common screen.
const RATE_INTERVAL: &str = "1m";

/// Panels in which nothing is to be seen while nothing is wrong.
const QUIET: &[&str] = &["What happened to endpoints"];

/// Panels about what this usher is not configured to do.
const ABSENT: &[&str] =
    &["PROXY headers", "TLS with endpoints", "Who they say they are", "Names of endpoints"];

/// Series that are there for those who are in trouble.
const TROUBLE: [&str; 3] = ["usher_faults_total", "usher_slo_exhaustion_seconds", "ALERTS"];

/// What stands in the place of each variable, all chosen and one.
const CHOSEN: [[(&str, &str); 3]; 3] = [
    [("audience", ".+"), ("pool", ".+"), ("instance", ".+")],
    [("audience", "customer"), ("pool", "rails"), ("instance", ".+")],
    [("audience", "(customer|ghost)"), ("pool", "(rails|gone)"), ("instance", ".+")],
];

#[tokio::test]
async fn prometheus_answers_every_expression_of_every_dashboard_and_legends_have_their_labels() {
    let puma = Plan::new("rails", 3, 0).env("LOG_LEVEL", "warn").start();
    let usher = Binary::start_whole(&configuration(&puma.address)).await;
    let rules = compressed(&rules(&usher.config()));
    let prometheus = Prometheus::start(&[&usher.metrics.to_string()], &rules, NOWHERE);
    // All is at 0 once, so that what comes is an increase.
    prometheus.when("usher_requests_total == 0", |answer| !samples(answer).is_empty()).await;
    verb(&usher, &["pause", "idle", "--for", "1h"]);
    let output = said(&["dashboards"]);
    let dashboards: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(dashboards.len(), 3);
    for dashboard in &dashboards {
        offers(&prometheus, dashboard).await;
        for panel in array(&dashboard["panels"]) {
            for target in array(&panel["targets"]) {
                answers(&usher, &prometheus, panel, target).await;
            }
        }
        for mark in array(&dashboard["annotations"]["list"]) {
            let answer = prometheus.ask(mark["expr"].as_str().expect("an expression"));
            assert_eq!(answer["status"], "success", "{mark}: {answer}");
        }
    }
}

/// Two audiences that are served, of which one's pool is not there, and one that nobody is.
fn configuration(puma: &str) -> String {
    let certificates = authority::shared();
    let at = certificates.display();
    format!(
        "listeners:\n\
         - bind: 127.0.0.1:0\n  \
           tls: {{ certificates: [{{ cert: {at}/shop.crt, key: {at}/shop.key }}] }}\n\
         control: {{ bind: 127.0.0.1:0 }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         database: {{ connections_max: 100 }}\n\
         audiences:\n\
         - {{ name: idle, match: [{{ path: /idle/** }}], pool: rails }}\n\
         - {{ name: ghost, match: [{{ path: /ghost/** }}], pool: gone, \
              slo: {{ availability: 99% }} }}\n\
         - {{ name: customer, pool: rails, \
              slo: {{ availability: 99.9%, latency: {{ within: 10s, target: 99% }} }} }}\n\
         pools:\n  \
           gone: {{ endpoints: [\"{NOWHERE}\"], capacity: 1 }}\n  \
           rails: {{ endpoints: [\"{puma}\"], capacity: 3, database_connections: 3 }}\n"
    )
}

/// Twenty requests over HTTP/2 and TLS, half of them for the pool that is not there.
fn traffic(usher: &Binary) {
    let port = usher.clients.port();
    let status = Command::new("curl")
        .args(["--silent", "--insecure", "--http2", "--output", "/dev/null"])
        .args(["--resolve", &format!("shop.example:{port}:127.0.0.1")])
        .arg(format!("https://shop.example:{port}/{{api/driver/echo,ghost/x}}?[1-10]"))
        .status();
    assert!(status.expect("curl can be run").success());
}

fn verb(usher: &Binary, arguments: &[&str]) {
    let output = said(&[arguments, &["--control", &usher.control.to_string()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The values that each variable of `dashboard` offers are those there are.
async fn offers(prometheus: &Prometheus, dashboard: &Value) {
    let query = Regex::new(r"^label_values\((.+), (\w+)\)$").expect("a pattern");
    let variables = array(&dashboard["templating"]["list"]);
    let asked = variables.iter().filter(|variable| variable["type"] == "query");
    let mut count = 0;
    for variable in asked {
        let text = variable["query"]["query"].as_str().expect("a query");
        let parts = query.captures(text).unwrap_or_else(|| panic!("{text}"));
        let path = format!("/api/v1/label/{}/values", &parts[2]);
        let answer = prometheus.get(&path, &[("match[]", &parts[1])]);
        let without = variable["regex"].as_str().expect("an expression");
        let names = array(&answer["data"]).iter().filter_map(Value::as_str);
        let names: BTreeSet<&str> =
            names.filter(|name| *name != "none" || !without.contains("(?:none)")).collect();
        let expected: &[&str] = match &parts[2] {
            "audience" => &["customer", "ghost", "idle"],
            "pool" => &["gone", "rails"],
            _ => &[names.first().expect("a replica")],
        };
        assert_eq!(names, expected.iter().copied().collect(), "{text}: {answer}");
        count += 1;
    }
    assert_eq!(count, 1, "{}", dashboard["title"]);
}

/// Prometheus understands the expression of `target` whatever is chosen, and has data for it.
async fn answers(usher: &Binary, prometheus: &Prometheus, panel: &Value, target: &Value) {
    let expression = target["expr"].as_str().expect("an expression");
    for (index, chosen) in CHOSEN.iter().enumerate() {
        let mut query = expression.replace("$__rate_interval", RATE_INTERVAL);
        for (name, value) in chosen {
            query = query.replace(&format!("${name}"), value);
        }
        assert!(!query.contains('$'), "{query}");
        let quiet = panel["title"]
            .as_str()
            .is_some_and(|title| QUIET.contains(&title) || ABSENT.contains(&title))
            || query.contains("usher_tunnels_closed_total");
        // One that is well has no faults, no alerts and a budget that lasts.
        let of_trouble = TROUBLE.iter().any(|name| query.contains(name));
        let well = index == 1 && of_trouble;
        let fits = |answer: &Value| quiet || well || !samples(answer).is_empty();
        let answer = prometheus
            .when(&query, |answer| {
                let fits = fits(answer);
                if !fits {
                    traffic(usher);
                }
                fits
            })
            .await;
        let legend = target["legendFormat"].as_str().expect("a legend");
        for sample in samples(&answer) {
            has_labels(legend, &sample["metric"]);
        }
    }
}

/// Every label that `legend` names is one of `metric`'s.
fn has_labels(legend: &str, metric: &Value) {
    let label = Regex::new(r"\{\{(\w+)\}\}").expect("a pattern");
    for named in label.captures_iter(legend) {
        assert!(metric[&named[1]].is_string(), "{legend} of {metric}");
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn samples(answer: &Value) -> &[Value] {
    array(&answer["data"]["result"])
}
