//! Debian's `varnishtest` plays the scripts of `tests/varnish` through the real program, with its
//! clients on one side and its servers on the other.

#[path = "http/program.rs"]
mod program;

use std::{fs, path::PathBuf, process::Command};

use program::Program;

#[test]
fn varnishtest_is_content_with_every_script() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/varnish");
    let entries = fs::read_dir(folder).expect("the scripts are there");
    let scripts: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    assert!(scripts.len() >= 8, "{scripts:?}");
    let wrong: Vec<String> = scripts.iter().filter_map(play).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What went wrong with a script.
fn play(script: &PathBuf) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let origin = folder.path().join("origin");
    let usher = Program::start(&format!("unix:{}", origin.display()), "");
    let output = Command::new("varnishtest")
        .arg(format!("-Dusher={}", usher.address))
        .arg(format!("-Dorigin={}", origin.display()))
        .arg(script)
        .output()
        .expect("varnishtest runs");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
