//! What the commands that write files for other programs write.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::support::binary::said;

#[test]
fn what_docker_compose_provisions_is_what_the_commands_write() {
    let written = tempfile::tempdir().expect("a directory");
    let out = written.path().to_str().expect("a path that is text");
    assert!(said(&["dashboards", "--out", out]).status.success());
    let names = |directory: &str| -> BTreeSet<_> {
        let entries = fs::read_dir(directory).expect("a directory").flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let ours = "config/grafana/dashboards";
    assert_eq!(names(ours), names(out));
    for name in names(ours) {
        let text = |directory: &str| {
            fs::read_to_string(format!("{directory}/{}", name.display())).expect("readable")
        };
        assert!(
            text(ours) == text(out),
            "{name:?} has changed: usher dashboards --out config/grafana/dashboards"
        );
    }
    let rules = said(&["rules", "--config", "config/compose/usher.yaml"]).stdout;
    let ours = fs::read("config/prometheus/usher-rules.yaml").expect("readable");
    assert!(
        ours == rules,
        "rules have changed: usher rules --config config/compose/usher.yaml --out \
         config/prometheus/usher-rules.yaml"
    );
}

#[test]
fn diff_says_what_would_change_and_refuses_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, path: &str, endpoints: &str| {
        let file = directory.path().join(name).display().to_string();
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:8080 }}]\n\
             audiences:\n\
             - {{ name: driver, pool: web, match: [{{ path: /d/** }}, {{ path: {path} }}] }}\n\
             - {{ name: everyone, pool: web }}\n\
             pools: {{ web: {{ capacity: 5, endpoints: [{endpoints}] }} }}\n"
        );
        fs::write(&file, text).expect("it can be written");
        file
    };
    let old = write("old.yaml", "/e", "10.0.0.1:1, 10.0.0.2:1");
    let new = write("new.yaml", "/f", "10.0.0.1:1");
    let told = said(&["diff", &old, &new]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(0));
    assert_eq!(text, "audience driver: +1 −1 rules\npool web: −1 endpoint\n");
    let json = said(&["diff", &old, &new, "--format", "json"]).stdout;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["changes"][1], "pool web: −1 endpoint");
    let wrong = write("wrong.yaml", "nowhere", "10.0.0.1:1");
    let told = said(&["diff", &old, &wrong]);
    let problems = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(2));
    assert!(problems.contains("wrong.yaml:3:"), "{problems}");
    assert!(told.stdout.is_empty());
}

#[test]
fn dashboards_are_written_to_standard_output_one_or_all_and_a_selector_is_in_them() {
    let one = said(&["dashboards", "pools", "--selector", "job=\"edge\""]);
    let one: Value = serde_json::from_slice(&one.stdout).expect("JSON");
    assert_eq!(one["uid"], "usher-pools");
    assert!(one.to_string().contains("job=\\\"edge\\\""), "{one}");
    let all = said(&["dashboards"]);
    let all: Value = serde_json::from_slice(&all.stdout).expect("JSON");
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let nowhere = said(&["dashboards", "--out", "/dev/null/nowhere"]);
    let error = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(error.starts_with("usher: /dev/null/nowhere cannot be made: "), "{error}");
    assert_eq!(said(&["dashboards", "nonsense"]).status.code(), Some(2));
}
