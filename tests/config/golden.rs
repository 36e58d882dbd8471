//! What is said about each of the files, word for word.

use std::{
    fs,
    path::{Path, PathBuf},
};

use usher::config::{self, Environment, LoadOptions, Problems};

fn options() -> LoadOptions {
    let variables = [("HOST", "web"), ("SECRET", "hunter2"), ("BRACKET", "([")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    LoadOptions { environment: Environment::Fixed(variables.into()), ..LoadOptions::default() }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// What is said about `path`, which must be what is written beside it.
fn said(path: &Path) -> Problems {
    let problems = config::check(path, &options());
    let beside = path.with_extension("stderr");
    let text = format!("{problems}\n");
    if std::env::var_os("USHER_BLESS").is_some() {
        fs::write(&beside, &text).expect("writable");
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(text, expected, "{} says otherwise", beside.display());
    problems
}

#[test]
fn every_wrong_file_is_refused_with_everything_that_is_wrong() {
    let files = files("tests/config/invalid");
    assert!(files.len() >= 40, "only {} files", files.len());
    for path in files {
        let problems = said(&path);
        assert!(problems.errors() > 0, "{} is accepted", path.display());
        let refused =
            config::load(&path, &options()).expect_err("an error yields no configuration");
        assert_eq!(refused, problems, "{}", path.display());
    }
}

#[test]
fn every_right_file_is_accepted_with_its_warnings() {
    for path in files("tests/config/valid") {
        let problems = said(&path);
        let (_, warnings) = config::load(&path, &options()).expect("it is right");
        assert_eq!(warnings, problems.into_vec(), "{}", path.display());
    }
}

#[test]
fn no_message_shows_what_came_from_the_environment() {
    for path in files("tests/config/invalid").iter().chain(&files("tests/config/valid")) {
        let problems = config::check(path, &options());
        assert!(!problems.to_string().contains("hunter2"), "{}", path.display());
        assert!(!problems.to_json().to_string().contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn what_is_shipped_is_right() {
    for (path, warnings) in [
        ("config/usher.yaml", 0),
        ("config/examples/one-pool.yaml", 0),
        ("config/examples/food-delivery.yaml", 0),
    ] {
        let problems = config::check(Path::new(path), &options());
        assert_eq!((problems.errors(), problems.warnings()), (0, warnings), "{path}:\n{problems}");
    }
}

#[test]
fn problems_are_told_to_programs_as_well() {
    let path = Path::new("tests/config/invalid/unknown-key.yaml");
    let json = config::check(path, &options()).to_json();
    assert_eq!(json["errors"], 1);
    assert_eq!(json["warnings"], 1);
    let problem = &json["problems"][1];
    assert_eq!(problem["severity"], "error");
    assert_eq!(problem["file"], "tests/config/invalid/unknown-key.yaml");
    assert_eq!((&problem["line"], &problem["column"]), (&6.into(), &5.into()));
    assert_eq!(problem["message"], "unknown key `capcity`, did you mean `capacity`?");
}
