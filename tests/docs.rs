//! The reference documents say everything that the code does, and nothing that it does not.

use std::collections::BTreeSet;

use usher::{
    fault::Fault,
    identity::Flaw,
    meters::{names, status},
    policy::sticky::Place,
    telemetry::access_log::FIELDS,
};

/// The cells of every table row of `document` that begins with something in code.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn ticked(text: &str) -> String {
    format!("`{text}`")
}

#[test]
fn every_metric_is_documented_with_its_type_labels_and_how_replicas_add_up() {
    let document = include_str!("../docs/metrics.md");
    let rows: Vec<_> =
        rows(document).into_iter().filter(|row| row[0].starts_with("`usher_")).collect();
    let documented: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let named: Vec<String> = names::ALL.iter().map(|family| ticked(family.name)).collect();
    assert_eq!(documented, named);
    for (row, family) in rows.iter().zip(names::ALL) {
        assert_eq!(row[1], family.kind.name(), "type of {}", family.name);
        let labels: Vec<String> = family.labels.iter().map(|label| ticked(label)).collect();
        assert_eq!(row[2], labels.join(", "), "labels of {}", family.name);
        assert_eq!(row[4], family.over_replicas.name(), "replicas of {}", family.name);
    }
}

#[test]
fn every_status_with_a_label_of_its_own_is_documented() {
    let document = include_str!("../docs/metrics.md");
    let line = document.lines().find(|line| line.starts_with("Statuses: ")).expect("a list");
    let listed: Vec<u16> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(listed, status::KNOWN);
}

#[test]
fn every_fault_is_documented_with_its_blame_and_status() {
    let document = include_str!("../docs/faults.md");
    let rows = rows(document);
    let documented: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let named: Vec<String> = Fault::ALL.iter().map(|fault| ticked(fault.name())).collect();
    assert_eq!(documented, named);
    for (row, fault) in rows.iter().zip(Fault::ALL) {
        assert_eq!(row[1], fault.blame().name(), "blame of {}", fault.name());
        assert_eq!(row[2], fault.status().as_str(), "status of {}", fault.name());
        assert_eq!(row[3], fault.outcome().name(), "outcome of {}", fault.name());
        assert!(row[4].ends_with('.') && row[5].ends_with('.'), "{} is not told", fault.name());
    }
}

#[test]
fn everything_that_may_be_wrong_with_a_token_is_documented() {
    let document = include_str!("../docs/identity.md");
    let (_, table) = document.split_once("## What is wrong with a token").expect("a table");
    let documented: Vec<&str> = rows(table).iter().map(|row| row[0]).collect();
    let named: Vec<String> = Flaw::NAMES.iter().map(|name| ticked(name)).collect();
    assert_eq!(documented, named);
}

#[test]
fn the_application_of_the_tests_logs_in_with_the_text_of_the_documents() {
    let document = include_str!("../docs/rails.md");
    let concern = include_str!("rails/app/controllers/concerns/usher_identity.rb");
    assert!(document.contains(&format!("```ruby\n{concern}```")), "{concern}");
}

#[test]
fn every_field_of_the_access_log_is_documented_in_its_order() {
    let document = include_str!("../docs/access-log.md");
    let rows = rows(document);
    let documented: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let named: Vec<String> = FIELDS
        .iter()
        .chain(&["fallback", "app_version", "operation", "paused_ms", "tunnel"])
        .map(|field| ticked(field))
        .collect();
    assert_eq!(documented, named);
}

#[test]
fn the_places_that_are_documented_are_those_that_are_worked_out() {
    let document = include_str!("../docs/sticky.md");
    let rows: Vec<_> = rows(document).into_iter().filter(|row| row.len() == 4).collect();
    assert!(rows.len() >= 4);
    for row in rows {
        let [salt, who, bits] = [0, 1, 2].map(|cell| row[cell].trim_matches('`'));
        let place = Place::of(salt, who.as_bytes());
        assert_eq!(format!("{:016x}", place.bits()), bits, "{salt} {who}");
        assert_eq!(format!("{:.6}", place.fraction()), row[3], "{salt} {who}");
    }
}

#[test]
fn every_path_of_the_control_port_is_documented() {
    let document = include_str!("../docs/control.md");
    let paths: BTreeSet<&str> = rows(document).into_iter().map(|row| row[0]).collect();
    for path in ["/live", "/ready", "/metrics"] {
        assert!(paths.contains(ticked(path).as_str()), "{path}");
    }
    for what in ["status", "audiences", "pools", "slo", "config", "versions"] {
        assert!(paths.contains(ticked(&format!("/api/v1/{what}")).as_str()), "{what}");
    }
}

#[test]
fn what_the_image_is_built_with_is_sent_to_the_engine_that_builds_it() {
    let rules = include_str!("../.dockerignore").lines();
    let sent: Vec<&str> = rules.filter_map(|rule| rule.strip_prefix('!')).collect();
    let scripts = [include_str!("../Dockerfile"), include_str!("../deploy/optimise")];
    let lines = scripts.iter().flat_map(|text| text.lines()).filter(|it| !it.starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| " ;\"'$()".contains(c)));
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_kept = |word: &&str| {
        let of_the_repository = word.contains('/') && !word.starts_with(['/', '.']);
        of_the_repository && !word.starts_with("target/") && root.join(word).is_file()
    };
    let used: BTreeSet<&str> = words.filter(is_kept).collect();
    assert!(used.contains("deploy/optimise") && used.contains("benches/instructions/train"));
    for path in used {
        assert!(sent.iter().any(|sent| path.starts_with(sent)), "{path} is kept back");
    }
}
