//! Prometheus' own tool runs the rules that `usher rules` writes, on traffic that is made up. It
//! comes with Debian's `prometheus`.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output},
};

const CONFIGURATION: &str = "\
listeners: [{ bind: 127.0.0.1:0 }]
pools: { rails: { endpoints: [127.0.0.1:1], capacity: 1 } }
audiences:
  - name: customer
    pool: rails
    slo:
";

/// Objectives by the label that they make.
const OBJECTIVES: [(&str, &str); 3] = [
    ("availability", "      - { availability: 99.9% }\n"),
    ("late-latency-300ms", "      - { name: late, latency: { within: 300ms, target: 90% } }\n"),
    ("week-availability", "      - { name: week, availability: 99%, window: 7d }\n"),
];

/// Good and bad events a step, for so many steps, over all replicas.
type Traffic<'a> = &'a [(f64, f64, usize)];

/// What is expected at a time: an expression and its value.
type Expected<'a> = &'a [(&'a str, String, f64)];

fn run(command: &mut Command) -> String {
    let output: Output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    said
}

/// Writes the rules for the promises in `labels` into `directory`, and returns their file's name.
fn rules(directory: &Path, labels: &[&str], arguments: &[&str]) -> String {
    let (config, rules) = (directory.join("usher.yaml"), directory.join("rules.yaml"));
    let objectives = OBJECTIVES.iter().filter(|(label, _)| labels.contains(label));
    let text: String = objectives.map(|(_, objective)| *objective).collect();
    fs::write(&config, format!("{CONFIGURATION}{text}")).expect("writable");
    let mut usher = Command::new(env!("CARGO_BIN_EXE_usher"));
    usher.arg("rules").args(arguments).arg("--config").arg(&config).arg("--out").arg(&rules);
    let said = run(usher.env_remove("USHER_CONFIG"));
    let low = said.contains("late-latency-300ms: a burn rate of 14.4 can hardly or never");
    assert_eq!(low, labels.contains(&"late-latency-300ms"), "{said}");
    rules.display().to_string()
}

/// A counter in promtool's notation: how much it grows a step, for how many steps.
fn counter(rates: impl Iterator<Item = (f64, usize)>) -> String {
    let (mut at, mut text) = (0.0, String::from("0"));
    for (rate, steps) in rates.filter(|(_, steps)| *steps > 0) {
        let _ = write!(text, " {}+{rate}x{}", at + rate, steps - 1);
        at += rate * steps as f64;
    }
    text
}

/// Has promtool play `traffic` for the promise `slo` through `replicas` replicas, a step and an
/// evaluation each so often, and look whether what is expected holds.
fn play(
    arguments: &[&str],
    (interval, evaluated): (&str, &str),
    slo: &str,
    replicas: usize,
    traffic: Traffic<'_>,
    expected: Expected<'_>,
) {
    let mut series = String::new();
    for replica in 0..replicas {
        for (result, good) in [("good", true), ("bad", false)] {
            let share = |events: f64| events / replicas as f64;
            let rates = traffic.iter().map(|(g, b, n)| (share(if good { *g } else { *b }), *n));
            let labels = format!("audience=\"customer\",slo=\"{slo}\",arm=\"stable\"");
            let _ = write!(
                series,
                "      - series: 'usher_slo_events_total{{{labels},result=\"{result}\",\
                 instance=\"{replica}\"}}'\n        values: '{}'\n",
                counter(rates)
            );
        }
    }
    test(slo, arguments, (interval, evaluated), &series, expected);
}

/// Has promtool evaluate the rules for the promise `slo` over `series`.
fn test(
    slo: &str,
    arguments: &[&str],
    (interval, evaluated): (&str, &str),
    series: &str,
    expected: Expected<'_>,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let rules = rules(directory.path(), &[slo], arguments);
    let mut test = format!(
        "rule_files: [{rules}]\nevaluation_interval: {evaluated}\ntests:\n  \
         - interval: {interval}\n    input_series:\n{series}    promql_expr_test:\n"
    );
    for (at, expression, value) in expected {
        let _ = write!(
            test,
            "      - expr: '{expression}'\n        eval_time: {at}\n        \
             exp_samples: [{{ labels: '{{}}', value: {value} }}]\n"
        );
    }
    let file = directory.path().join("test.yaml");
    fs::write(&file, test).expect("writable");
    run(Command::new("promtool").args(["test", "rules"]).arg(&file));
}

/// How many alerts of this severity are firing that are about a burn rate.
fn firing(severity: &str) -> String {
    let name = "alertname=~\"UsherErrorBudgetBurn.*\"";
    format!("count(ALERTS{{{name},severity=\"{severity}\",alertstate=\"firing\"}}) or vector(0)")
}

/// Whether any of them is.
fn fires(severity: &str) -> String {
    format!("sum({}) > bool 0", firing(severity))
}

#[test]
fn promtool_is_content_with_the_rules_of_both_forms_and_of_usher_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&[][..], &["--alerting", "classic"], &["--selector", "job=\"edge\""]] {
        let rules = rules(directory.path(), &OBJECTIVES.map(|(label, _)| label), arguments);
        let said = run(Command::new("promtool").args(["check", "rules", &rules]));
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

#[test]
fn a_full_outage_pages_within_two_minutes_and_is_silent_after_recovery() {
    // Ten requests a second for six hours, none good for ten minutes, and on again.
    let traffic = [(150.0, 0.0, 1_440), (0.0, 150.0, 40), (150.0, 0.0, 1_680)];
    for (arguments, replicas) in [(&[][..], 1), (&[], 3), (&["--alerting", "classic"], 3)] {
        play(
            arguments,
            ("15s", "30s"),
            "availability",
            replicas,
            &traffic,
            &[
                ("6h", fires("page"), 0.0),
                ("6h2m", fires("page"), 1.0),
                // Ten minutes of outage are a good part of what four weeks may spend: the slower
                // page, over 6 h and 30 min, ends 30 min after it.
                ("6h55m", fires("page"), 0.0),
                ("13h", fires("ticket"), 0.0),
            ],
        );
    }
}

#[test]
fn one_failure_at_three_in_the_morning_wakes_nobody() {
    // A request a minute; by day there are a hundred.
    let day = [(100.0, 0.0, 720)];
    let night = [(1.0, 0.0, 170), (0.0, 1.0, 1), (1.0, 0.0, 120)];
    let traffic = [&day[..], &night[..]].concat();
    let minutes = ["14h51m", "14h52m", "14h55m", "15h10m", "15h50m"];
    let silence = minutes.map(|at| (at, format!("{} + {}", fires("page"), fires("ticket")), 0.0));
    for replicas in [1, 3] {
        play(&[], ("1m", "1m"), "availability", replicas, &traffic, &silence);
    }
    // The classic form, which is there for those who want it, wakes somebody.
    let classic = [("14h52m", fires("page"), 1.0)];
    play(&["--alerting", "classic"], ("1m", "1m"), "availability", 3, &traffic, &classic);
}

#[test]
fn a_slow_burn_is_a_ticket_and_no_page() {
    // Twice as much as is allowed, for three quarters of a day: a fifth of what a week may spend.
    for replicas in [1, 3] {
        play(
            &[],
            ("1m", "1m"),
            "week-availability",
            replicas,
            &[(588.0, 12.0, 1_100)],
            &[
                ("12h", fires("ticket"), 0.0),
                ("18h", fires("ticket"), 1.0),
                ("18h", fires("page"), 0.0),
                ("18h", "sum(usher:slo_burn_rate:ratio1h) > bool 1.9".into(), 1.0),
            ],
        );
    }
}

#[test]
fn the_budget_is_right_when_traffic_varies_tenfold_by_day() {
    // Seven days, each half a busy day without a fault and half a quiet night in which one of ten
    // requests fails. An average of ratios would say that five times the budget is gone.
    let one = [(600.0, 0.0, 720), (54.0, 6.0, 720)];
    let traffic: Vec<_> = std::iter::repeat_n(one, 7).flatten().collect();
    let left = 1.0 - (7.0 * 720.0 * 6.0) / (0.01 * 7.0 * 720.0 * 660.0);
    let budget = "usher:slo_budget_left:ratio{slo=\"week-availability\"}";
    let close = format!("sum(abs({budget} - {left})) < bool 0.01");
    let sloth = format!(
        "sum(abs(slo:period_error_budget_remaining:ratio{{sloth_slo=\"week-availability\"}} - \
         {left})) < bool 0.01"
    );
    for replicas in [1, 3] {
        let expected = [("6d23h55m", close.clone(), 1.0), ("6d23h55m", sloth.clone(), 1.0)];
        play(&[], ("1m", "5m"), "week-availability", replicas, &traffic, &expected);
    }
}

#[test]
fn counters_that_begin_anew_with_a_restart_cost_no_events() {
    // Half a day at two replicas; each begins at 0 again once, hours apart from the other. What is
    // bad are 1 of 100.
    let counter =
        |before: u32, after: u32, step: u32| format!("0+{step}x{before} 0+{step}x{after}");
    let mut series = String::new();
    for (instance, before) in [("a", 200), ("b", 500)] {
        for (result, step) in [("good", 99), ("bad", 1)] {
            let of = format!("audience=\"customer\",slo=\"availability\",result=\"{result}\"");
            let _ = write!(
                series,
                "      - series: 'usher_slo_events_total{{{of},instance=\"{instance}\"}}'\n        \
                 values: '{}'\n",
                counter(before, 719 - before, step)
            );
        }
    }
    let left = "usher:slo_budget_left:ratio{slo=\"availability\"}";
    // Ten times as much as is allowed.
    let expected: &[_] = &[
        ("11h55m", format!("sum(abs({left} - -9)) < bool 0.01"), 1.0),
        ("11h55m", "abs(sum(usher:slo_burn_rate:ratio6h) - 10) < bool 0.01".into(), 1.0),
        ("11h55m", "abs(sum(usher:slo_total:increase6h) / 72000 - 1) < bool 0.02".into(), 1.0),
    ];
    test("availability", &[], ("1m", "1m"), &series, expected);
}

/// What is expected of alerts about usher itself.
#[test]
fn alerts_about_usher_itself_fire_for_what_they_are_about_and_for_nothing_else() {
    let firing = |name: &str| {
        format!("count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}) or vector(0)")
    };
    let names = [
        "UsherAbsent",
        "UsherReplicaDown",
        "UsherConfigurationRefused",
        "UsherConfigurationsDiffer",
        "UsherPanicked",
        "UsherLogLinesDropped",
    ];
    let replica = |instance: &str, hash: &str, refused: &str, panicked: &str, lost: &str| {
        let of = format!("job=\"usher\",instance=\"{instance}\"");
        [
            (format!("up{{{of}}}"), "1x120"),
            (format!("usher_build_info{{{of},version=\"1\"}}"), "1x120"),
            (format!("usher_config_info{{{of},hash=\"{hash}\"}}"), "1x120"),
            (format!("usher_config_refused{{{of}}}"), refused),
            (format!("usher_faults_total{{{of},fault=\"panicked\"}}"), panicked),
            (format!("usher_log_lines_dropped_total{{{of}}}"), lost),
        ]
        .map(|(series, values)| format!("      - series: '{series}'\n        values: '{values}'\n"))
        .concat()
    };
    let well = replica("a", "x", "0x120", "0x120", "0x120");
    let gone = well.replace("'1x120'", "'1x20 _x100'");
    let down = well.replace(
        "up{job=\"usher\",instance=\"a\"}'\n        values: '1x120",
        "up{job=\"usher\",instance=\"a\"}'\n        values: '1x20 0x100",
    );
    let cases = [
        (well.clone() + &replica("b", "x", "0x120", "0x120", "0x120"), None),
        (gone, Some("UsherAbsent")),
        (well.clone() + &down.replace("\"a\"", "\"b\""), Some("UsherReplicaDown")),
        (replica("a", "x", "0x10 1x110", "0x120", "0x120"), Some("UsherConfigurationRefused")),
        (well + &replica("b", "y", "0x120", "0x120", "0x120"), Some("UsherConfigurationsDiffer")),
        (replica("a", "x", "0x120", "0x50 1x70", "0x120"), Some("UsherPanicked")),
        (replica("a", "x", "0x120", "0x120", "0+1x120"), Some("UsherLogLinesDropped")),
    ];
    for (series, fires) in cases {
        let expected =
            names.map(|name| ("1h", firing(name), if fires == Some(name) { 1.0 } else { 0.0 }));
        test("availability", &[], ("1m", "1m"), &series, &expected);
    }
}

#[test]
fn every_alert_has_a_runbook_where_it_links_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let labels = OBJECTIVES.map(|(label, _)| label);
    let text = fs::read_to_string(rules(directory.path(), &labels, &[])).expect("readable");
    let runbooks = fs::read_to_string("docs/slo.md").expect("readable");
    let mut alerts = 0;
    for name in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(runbooks.contains(&format!("\n### {name}\n")), "{name}");
        assert!(text.contains(&format!("docs/slo.md#{}\"", name.to_lowercase())), "{name}");
        alerts += 1;
    }
    assert!(alerts > 10, "{alerts}");
}

#[test]
fn prometheus_understands_the_queries_that_other_tools_are_given() {
    let directory = tempfile::tempdir().expect("a directory");
    for (format, expected) in [("sloth", 6), ("openslo", 6)] {
        let labels = OBJECTIVES.map(|(label, _)| label);
        let path = rules(directory.path(), &labels, &["--format", format]);
        let text = fs::read_to_string(path).expect("readable");
        let queries = text.lines().filter_map(|line| line.split_once("query: "));
        let mut file = String::from("groups:\n  - name: queries\n    rules:\n");
        let mut count = 0;
        for (_, query) in queries {
            let query = query.replace("{{.window}}", "5m");
            let _ = writeln!(file, "      - record: query{count}\n        expr: {query}");
            count += 1;
        }
        assert_eq!(count, expected, "{text}");
        let path = directory.path().join("queries.yaml");
        fs::write(&path, file).expect("writable");
        run(Command::new("promtool").args(["check", "rules"]).arg(&path));
    }
}

#[test]
fn a_promise_that_no_burn_rate_of_the_workbook_could_break_pages_all_the_same() {
    // 90 %: a full outage burns ten times as fast as allowed, which is less than 14.4.
    let traffic = [(150.0, 0.0, 1_440), (0.0, 150.0, 240)];
    let expected = [("6h", fires("page"), 0.0), ("6h55m", fires("page"), 1.0)];
    play(&[], ("15s", "30s"), "late-latency-300ms", 1, &traffic, &expected);
}
