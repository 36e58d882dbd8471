//! What counts for which promise, from the configuration alone.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    classify::RuleSpec,
    config::{Audience, Config, Objective},
    slo::{Aim, On, Promise, StatusSet},
    units::format_duration,
};

/// What is the same for every promise.
const REST: &str = "
A status from 500 on, a fault that is not the client's, and an answer cut on our side are bad.
What is the client's fault is not counted. docs/slo.md has every case.
";

/// For people.
pub(super) fn text(config: &Config) -> String {
    let mut text = String::new();
    for audience in &config.audiences {
        for promise in audience.promises() {
            let objective = &audience.objectives[promise.objective];
            explain(&mut text, audience, objective, &promise);
        }
    }
    if text.is_empty() {
        return "no objectives are configured\n".to_owned();
    }
    text + REST
}

fn explain(text: &mut String, audience: &Audience, objective: &Objective, promise: &Promise) {
    let blank = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{blank}{} {}", audience.name, promise.label);
    let _ = writeln!(text, "  promise   {}", promised(promise));
    let _ = writeln!(text, "  counts    {}", scope(&objective.only));
    let paths = paths(objective);
    if !paths.is_empty() {
        let _ = writeln!(text, "  excluded  {}", paths.join(" "));
    }
    let bad = statuses(promise.bad);
    if !bad.is_empty() {
        let _ = writeln!(text, "  bad too   {}", bad.join(" "));
    }
    let _ = writeln!(text, "  leaving   {}", leaving(promise.aim));
    if let Some(sla) = promise.sla {
        let _ = writeln!(text, "  sla       {sla}");
    }
}

fn promised(promise: &Promise) -> String {
    let window = format_duration(promise.window);
    let target = promise.target;
    match promise.aim {
        Aim::Availability { .. } => format!("{target} are answered well, over {window}"),
        Aim::Latency { within, on } => {
            let what = match on {
                On::FirstByte => "begin",
                On::Completion => "are complete",
            };
            let within = format_duration(within);
            format!("{target} are answered well and {what} within {within}, over {window}")
        }
    }
}

fn leaving(aim: Aim) -> String {
    let patience = match aim {
        Aim::Availability { patience } => patience,
        Aim::Latency { within, .. } => within,
    };
    format!("bad after {}, not counted before", format_duration(patience))
}

fn scope(only: &[RuleSpec]) -> String {
    if only.is_empty() {
        return "every request of the audience".to_owned();
    }
    let rules: Vec<&str> = only.iter().map(|rule| &*rule.label).collect();
    format!("requests with {}", rules.join(", or with "))
}

fn paths(objective: &Objective) -> Vec<String> {
    objective.exclude.iter().map(ToString::to_string).collect()
}

/// Statuses, whole classes as one.
fn statuses(set: StatusSet) -> Vec<String> {
    let mut words = Vec::new();
    for class in 1..=5_u16 {
        let of_class: Vec<u16> = set.iter().filter(|status| status / 100 == class).collect();
        if of_class.len() == 100 {
            words.push(format!("{class}xx"));
        } else {
            words.extend(of_class.iter().map(u16::to_string));
        }
    }
    words
}

/// For programs.
pub(super) fn json(config: &Config) -> Value {
    let promise = |audience: &Audience, promise: &Promise| {
        let objective = &audience.objectives[promise.objective];
        let only: Vec<&str> = objective.only.iter().map(|rule| &*rule.label).collect();
        let within = match promise.aim {
            Aim::Availability { .. } => None,
            Aim::Latency { within, on } => Some((within, on)),
        };
        json!({
            "audience": audience.name.as_str(),
            "slo": &*promise.label,
            "target": promise.target.ratio(),
            "within_ms": within.map(|(within, _)| within.as_secs_f64() * 1e3),
            "on": within.map(|(_, on)| on.name()),
            "window": format_duration(promise.window),
            "sla": promise.sla.map(|sla| sla.ratio()),
            "only": only,
            "exclude": paths(objective),
            "bad": statuses(promise.bad),
        })
    };
    let promises: Vec<Value> = config
        .audiences
        .iter()
        .flat_map(|audience| {
            audience.promises().iter().map(|it| promise(audience, it)).collect::<Vec<_>>()
        })
        .collect();
    json!({ "promises": promises })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, parse_text};

    fn config(slo: &str) -> Config {
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
             pools: {{ rails: {{ endpoints: [127.0.0.1:1], capacity: 1 }} }}\n\
             audiences: [{{ name: driver, pool: rails{slo} }}]\n"
        );
        let parsed = parse_text("test.yaml", &text, &LoadOptions::default());
        parsed.unwrap_or_else(|problems| panic!("{problems}")).0
    }

    #[test]
    fn each_promise_says_what_counts_for_it() {
        let slo = ", slo: [{ latency: { within: 300ms, target: 99% } }, \
                   { name: order, only: [{ method: POST }], availability: 99.95%, sla: 99%, \
                     bad: [404, 1xx], window: 7d }]";
        let text = text(&config(slo));
        let expected = "\
driver latency-300ms
  promise   99% are answered well and begin within 300ms, over 28d
  counts    every request of the audience
  excluded  /up /health /healthz /health_check /livez /readyz /ping /assets/** /packs/** /vite/** \
            /favicon.ico /robots.txt
  leaving   bad after 300ms, not counted before

driver order-availability
  promise   99.95% are answered well, over 7d
  counts    requests with method POST
  bad too   1xx 404
  leaving   bad after 300ms, not counted before
  sla       99%
";
        assert!(text.starts_with(expected), "{text}");
        let json = json(&config(slo));
        assert_eq!(json["promises"][0]["on"], "first_byte");
        assert_eq!(json["promises"][1]["bad"], json!(["1xx", "404"]));
    }

    #[test]
    fn without_objectives_it_says_so() {
        assert_eq!(text(&config("")), "no objectives are configured\n");
    }
}
