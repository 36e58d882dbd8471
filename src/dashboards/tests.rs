//! That they hang together. Whether Prometheus can answer them is asked in `tests/dashboards.rs`.

use std::collections::BTreeSet;

use regex::Regex;

use super::*;
use crate::{
    meters::names,
    slo::rules::{self, Options as Rules},
};

fn dashboards(selector: &str) -> Vec<Value> {
    let options = Options { selector: selector.to_owned() };
    Subject::ALL.iter().map(|subject| subject.dashboard(&options)).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = array(&dashboard["panels"]).iter().flat_map(|panel| array(&panel["targets"]));
    let marks = array(&dashboard["annotations"]["list"]).iter();
    targets.chain(marks).filter_map(|target| target["expr"].as_str()).collect()
}

/// The names of series in `text`, without the suffixes of histograms.
fn names(text: &str) -> BTreeSet<&str> {
    let pattern = Regex::new(r"usher[_:][a-z0-9_:]+").expect("a pattern");
    let names = pattern.find_iter(text).map(|found| found.as_str());
    let suffixes = ["_bucket", "_count", "_sum"];
    names.map(|name| suffixes.iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name)).collect()
}

#[test]
fn panels_lie_side_by_side_and_each_has_an_id_a_title_and_words() {
    for dashboard in dashboards("") {
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in array(&dashboard["panels"]) {
            assert!(ids.insert(panel["id"].as_u64()), "{panel}");
            assert!(!panel["title"].as_str().unwrap_or_default().is_empty(), "{panel}");
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            for x in at("x")..at("x") + at("w") {
                assert!(x < 24, "{panel}");
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{panel} lies on another");
                }
            }
            let row = panel["type"] == "row";
            let words = panel["description"].as_str().is_some_and(|it| !it.is_empty());
            assert!(row != (words && !array(&panel["targets"]).is_empty()), "{panel}");
        }
    }
}

#[test]
fn every_series_is_a_metric_of_ushers_or_one_that_the_rules_record() {
    let recorded = rules::prometheus(&rules::tests::promises(), &Rules::default());
    for dashboard in dashboards("") {
        let queries = array(&dashboard["templating"]["list"]).iter();
        let queries = queries.filter_map(|variable| variable["definition"].as_str());
        for expression in expressions(&dashboard).into_iter().chain(queries) {
            let known = |name: &str| {
                names::ALL.iter().any(|family| family.name == name)
                    || recorded.contains(&format!("record: {name}\n"))
            };
            let names = names(expression);
            assert!(names.iter().all(|name| known(name)), "{expression}");
            assert!(!names.is_empty() || expression.starts_with("ALERTS"), "{expression}");
        }
    }
}

#[test]
fn variables_that_are_used_are_there_and_a_selector_stands_in_every_series_of_ushers() {
    let variable = Regex::new(r"\$([a-z]+)").expect("a pattern");
    let series = Regex::new(r"usher_[a-z0-9_]+(\{[^}]*\})?").expect("a pattern");
    for dashboard in dashboards("job=\"edge\"") {
        let list = array(&dashboard["templating"]["list"]).iter();
        let names: Vec<&str> = list.filter_map(|variable| variable["name"].as_str()).collect();
        for expression in expressions(&dashboard) {
            for used in variable.captures_iter(expression) {
                assert!(names.contains(&&used[1]), "{expression}");
            }
            for found in series.find_iter(expression) {
                assert!(found.as_str().contains("job=\"edge\"}"), "{expression}");
            }
        }
    }
}
