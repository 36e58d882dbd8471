//! `usher check` and `usher schema` as functions.

use std::fs;

use clap::Parser;
use usher::cli::{
    self,
    check::{self, CheckArgs},
    schema::{self, SchemaArgs},
};

#[derive(Parser)]
enum Command {
    Check(CheckArgs),
    Schema(SchemaArgs),
}

fn run(line: &str) -> u8 {
    match Command::try_parse_from(format!("usher {line}").split(' ')).expect("a right line") {
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
    }
}

#[test]
fn check_exits_with_2_when_something_is_wrong() {
    assert_eq!(run("check --config config/usher.yaml --strict"), cli::DONE);
    assert_eq!(run("check --config tests/config/valid/smallest.yaml"), cli::DONE);
    assert_eq!(run("check --config tests/config/valid/smallest.yaml --strict"), cli::WRONG);
    assert_eq!(run("check --config tests/config/invalid/unknown-key.yaml"), cli::WRONG);
    assert_eq!(run("check --config tests/config/invalid/tls.yaml --format json"), cli::WRONG);
    assert_eq!(run("check --config nowhere.yaml --allow-missing env,files"), cli::WRONG);
}

#[test]
fn check_passes_over_what_may_be_missing() {
    let page = "check --config tests/config/invalid/missing-page.yaml";
    let variable = "check --config tests/config/invalid/missing-variable.yaml";
    assert_eq!((run(page), run(variable)), (cli::WRONG, cli::WRONG));
    assert_eq!(run(&format!("{page} --allow-missing files")), cli::DONE);
    assert_eq!(run(&format!("{variable} --allow-missing files")), cli::WRONG);
    assert_eq!(run(&format!("{variable} --allow-missing env")), cli::DONE);
    assert_eq!(run(&format!("{variable} --allow-missing env,files")), cli::DONE);
}

#[test]
fn schema_writes_the_schema_or_an_example() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    assert_eq!(run(&format!("schema --out {}", out.display())), cli::DONE);
    assert_eq!(fs::read_to_string(&out).expect("written"), schema::schema_text());
    assert_eq!(run(&format!("schema --example --out {}", out.display())), cli::DONE);
    assert_eq!(fs::read_to_string(&out).expect("written"), schema::EXAMPLE);
    assert_eq!(
        run(&format!("schema --out {}/nowhere/out", directory.path().display())),
        cli::FAILED
    );
}
