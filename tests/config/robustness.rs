//! No text makes the loader panic or run away.

use std::fs;

use proptest::prelude::*;
use usher::config::{self, Environment, LoadOptions};

fn examine(text: &str) {
    let environment = Environment::Fixed(Default::default());
    let options = LoadOptions { environment, ..LoadOptions::default() };
    match config::parse_text("test", text, &options) {
        Ok((config, warnings)) => {
            assert!(warnings.iter().all(|problem| problem.severity == config::Severity::Warning));
            assert!(!config.listeners.is_empty() && !config.audiences.is_empty());
            let (last, others) = config.audiences.split_last().expect("at least one");
            assert!(last.rules.is_empty() && others.iter().all(|a| !a.rules.is_empty()));
            let pool_is_there =
                |a: &config::Audience| config.pools.iter().any(|p| p.name == a.pool);
            assert!(config.audiences.iter().all(pool_is_there));
        }
        Err(problems) => assert!(problems.errors() > 0, "refused without a reason: {text}"),
    }
}

/// Pieces that mean something to YAML or to us, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("listeners"),
        Just("audiences"),
        Just("pools"),
        Just("match"),
        Just("path"),
        Just("include"),
        Just("defaults"),
        Just("limits"),
        Just(": "),
        Just("- "),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("&a "),
        Just("*a"),
        Just("<<"),
        Just("!!int "),
        Just("|"),
        Just(">"),
        Just("'"),
        Just("\""),
        Just("#"),
        Just("${"),
        Just("${A:-}"),
        Just("$$"),
        Just("\t"),
        Just("\r"),
        Just("\u{feff}"),
        Just("\0"),
        Just("ä"),
        Just("1e999"),
        Just("~"),
        Just("off"),
        Just("---"),
        Just("? "),
        Just("5s"),
        Just("99%"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        examine(&text);
    }

    #[test]
    fn any_pieces_are_read_or_refused(text in pieces()) {
        examine(&text);
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        cut in 0_usize..40,
        paste in pieces(),
    ) {
        let path = "tests/config/valid/complete-surface.yaml";
        let text = fs::read_to_string(path).expect("readable");
        let mut characters: Vec<char> = text.chars().collect();
        let start = at.index(characters.len());
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, paste.chars());
        examine(&characters.into_iter().collect::<String>());
    }
}

#[test]
fn what_would_run_away_is_refused() {
    let deep = format!("listeners: {}", "[".repeat(10_000));
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..='k')
            .map(|c| {
                let before = char::from_u32(c as u32 - 1).expect("a letter");
                let aliases = vec![format!("*{before}"); 9].join(", ");
                format!("{c}: &{c} [{aliases}]\n")
            })
            .collect::<String>();
    let blocks: String = (0..5_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for text in [deep, bomb, blocks] {
        assert!(config::parse_text("test", &text, &LoadOptions::default()).is_err());
    }
}
