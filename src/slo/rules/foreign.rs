//! Promises as other tools write them: OpenSLO v1 and Sloth's `prometheus/v1`.

use std::fmt::Write as _;

use super::{Options, days, number, promised::service, quoted};
use crate::{meters::names, slo::Promise};

const OPENSLO_SERVICE: &str = "\
---
apiVersion: openslo/v1
kind: Service
metadata:
  name: <SERVICE>
spec:
  description: <DESCRIPTION>
";

const OPENSLO_SLO: &str = "\
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: <NAME>
spec:
  service: <SERVICE>
  description: <DESCRIPTION>
  indicator:
    metadata:
      name: <NAME>
    spec:
      ratioMetric:
        counter: true
        bad:
          metricSource:
            type: Prometheus
            spec:
              query: <BAD>
        total:
          metricSource:
            type: Prometheus
            spec:
              query: <TOTAL>
  timeWindow:
    - duration: <DAYS>d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: <LABEL>
      target: <TARGET>
";

const SLOTH_SLO: &str = "  - name: <LABEL>
    objective: <OBJECTIVE>
    description: <DESCRIPTION>
    sli:
      events:
        error_query: <BAD>
        total_query: <TOTAL>
    alerting:
      name: UsherErrorBudgetBurn
      labels:
        audience: <AUDIENCE>
      page_alert:
        labels:
          severity: page
      ticket_alert:
        labels:
          severity: ticket
";

/// As OpenSLO v1 documents: a service for each audience, an SLO for each promise.
pub fn openslo(promises: &[Promise], options: &Options) -> String {
    let mut text = String::new();
    let mut before = None;
    for promise in promises {
        let service = dashed(&service(promise));
        if before.replace(service.clone()).as_ref() != Some(&service) {
            let what = quoted(&format!("What was promised to the audience {}", promise.audience));
            text += &fill(OPENSLO_SERVICE, &[("SERVICE", &service), ("DESCRIPTION", &what)]);
        }
        let name = dashed(&format!("{service}-{}", promise.label));
        let query =
            |result: Option<&str>| quoted(&format!("sum({})", events(promise, result, options)));
        text += &fill(
            OPENSLO_SLO,
            &[
                ("NAME", &name),
                ("SERVICE", &service),
                ("DESCRIPTION", &quoted(&description(promise))),
                ("BAD", &query(Some("bad"))),
                ("TOTAL", &query(None)),
                ("DAYS", &days(promise).to_string()),
                ("LABEL", &promise.label),
                ("TARGET", &number(promise.target.ratio())),
            ],
        );
    }
    text
}

/// As Sloth's specifications: one document an audience.
pub fn sloth(promises: &[Promise], options: &Options) -> String {
    let mut text = String::new();
    let mut before = None;
    for promise in promises {
        let service = service(promise);
        if before.replace(service.clone()).as_ref() != Some(&service) {
            let _ = write!(text, "---\nversion: prometheus/v1\nservice: {service}\nslos:\n");
        }
        let query = |result: Option<&str>| {
            quoted(&format!("sum(rate({}[{{{{.window}}}}]))", events(promise, result, options)))
        };
        text += &fill(
            SLOTH_SLO,
            &[
                ("LABEL", &promise.label),
                ("OBJECTIVE", &number(promise.target.percent())),
                ("DESCRIPTION", &quoted(&description(promise))),
                ("BAD", &query(Some("bad"))),
                ("TOTAL", &query(None)),
                ("AUDIENCE", promise.audience.as_str()),
            ],
        );
    }
    text
}

/// Puts values in the places of a template that have their names.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

fn events(promise: &Promise, result: Option<&str>, options: &Options) -> String {
    let mut matchers =
        vec![format!("audience=\"{}\"", promise.audience), format!("slo=\"{}\"", promise.label)];
    matchers.extend(result.map(|result| format!("result=\"{result}\"")));
    matchers.extend(Some(options.selector.clone()).filter(|it| !it.is_empty()));
    format!("{}{{{}}}", names::SLO_EVENTS.name, matchers.join(","))
}

fn description(promise: &Promise) -> String {
    format!("{}: {} {}", promise.audience, promise.label, promise.target)
}

/// Names there hold letters, digits and `-`.
fn dashed(name: &str) -> String {
    name.replace(['_', '.'], "-")
}
