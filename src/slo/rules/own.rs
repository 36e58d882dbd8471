//! Alerts about usher itself. None of them looks at a promise: a promise without events is a quiet
//! hour, not a fault.

use super::{Rule, Rules};
use crate::{meters::names, slo::Severity};

/// One of them.
struct Own {
    name: &'static str,
    severity: Severity,
    expression: String,
    wait: Option<&'static str>,
    summary: &'static str,
    description: &'static str,
}

/// All of them.
pub(super) fn alerts(rules: &mut Rules<'_>) {
    rules.group("usher-itself", "30s");
    for own in presence(rules).into_iter().chain(configuration(rules)).chain(health(rules)) {
        let annotations = vec![
            ("summary", own.summary.to_owned()),
            ("description", own.description.to_owned()),
            ("runbook_url", rules.runbook(own.name)),
        ];
        rules.add(&Rule {
            kind: "alert",
            name: own.name,
            expression: own.expression,
            wait: own.wait,
            labels: vec![("severity", own.severity.name().to_owned())],
            annotations,
        });
    }
}

fn presence(rules: &Rules<'_>) -> [Own; 2] {
    let build = rules.series(names::BUILD_INFO.name, &[]);
    // Targets that were usher within the last hours, whatever their job is called.
    let down = format!(
        "up == 0\nand on (job, instance)\n  \
         count by (job, instance) (last_over_time({build}[6h]))"
    );
    [
        Own {
            name: "UsherAbsent",
            severity: Severity::Page,
            expression: format!("absent({build})"),
            wait: Some("2m"),
            summary: "no usher is scraped at all",
            description: "Either none runs, or Prometheus does not find them: see its targets.",
        },
        Own {
            name: "UsherReplicaDown",
            severity: Severity::Ticket,
            expression: down,
            wait: Some("5m"),
            summary: "{{ $labels.instance }} does not answer",
            description: "The others carry its load. A replica that was taken away is forgotten \
                          by service discovery, and this ends.",
        },
    ]
}

fn configuration(rules: &Rules<'_>) -> [Own; 2] {
    let refused = rules.series(names::CONFIG_REFUSED.name, &[]);
    let info = rules.series(names::CONFIG_INFO.name, &[]);
    [
        Own {
            name: "UsherConfigurationRefused",
            severity: Severity::Ticket,
            expression: format!("max by (job, instance) ({refused}) > 0"),
            wait: Some("2m"),
            summary: "{{ $labels.instance }} serves an older configuration than its file",
            description: "The file has an error; nothing of it is in use. `usher check` and \
                          `usher status` say which.",
        },
        Own {
            name: "UsherConfigurationsDiffer",
            severity: Severity::Ticket,
            expression: format!("count by (job) (count by (job, hash) ({info})) > 1"),
            wait: Some("15m"),
            summary: "replicas of {{ $labels.job }} run different configurations",
            description: "Longer than a roll-out takes. `usher_config_info` says which runs which.",
        },
    ]
}

fn health(rules: &Rules<'_>) -> [Own; 2] {
    let panicked = rules.series(names::FAULTS.name, &["fault=\"panicked\""]);
    let lost = rules.series(names::LOG_LINES_DROPPED.name, &[]);
    [
        Own {
            name: "UsherPanicked",
            severity: Severity::Ticket,
            expression: format!("sum by (job, instance) (increase({panicked}[15m])) > 0"),
            wait: None,
            summary: "a request made {{ $labels.instance }} panic",
            description: "This is a defect of usher. Its log has the place; please report it.",
        },
        Own {
            name: "UsherLogLinesDropped",
            severity: Severity::Ticket,
            expression: format!("sum by (job, instance) (increase({lost}[15m])) > 0"),
            wait: Some("5m"),
            summary: "{{ $labels.instance }} drops lines of its access log",
            description: "Who reads the log is too slow, or the disk is full. Requests are not \
                          affected.",
        },
    ]
}
