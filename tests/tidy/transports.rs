//! Whether what clients meet is tried over every transport.
//!
//! A suite is a test binary whose clients speak to usher: it stands on `tests/support`. Its tests
//! run three times: as `NAME`, as `NAME_tls` and as `NAME_http2_tls`, which share `NAME/suite.rs`.
//! What does not says of which transport it is, and why, in a line of its `//!` that begins with
//! `Transport:`; so does a file of tests that stands beside the suite.

use std::fmt::Write;

use regex::Regex;

use crate::{File, rust_files};

/// The line of a file's `//!` that says of which transport it is.
const SAYS: &str = "\n//! Transport: ";

#[test]
fn what_clients_meet_is_tried_over_every_transport_or_says_of_which_it_is() {
    let files: Vec<File> = rust_files();
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| &*file.text);
    let root = Regex::new(r"^tests/(\w+?)(/main)?\.rs$").unwrap();
    let beside = Regex::new(r"(?m)^mod (\w+);$").unwrap();
    let (mut wrong, mut suites) = (String::new(), 0);
    for file in &files {
        let Some(found) = root.captures(&file.path) else { continue };
        let (name, is_main) = (&found[1], found.get(2).is_some());
        let own = |module: &str| text(&format!("tests/{name}/{module}.rs"));
        let suite = own("suite");
        let mut stands_on = [Some(&*file.text), suite].into_iter().flatten();
        let has_clients = stands_on.any(|it| it.contains("mod support;\n"));
        if !has_clients || name.ends_with("_tls") || file.text.contains(SAYS) {
            continue;
        }
        suites += 1;
        let shares = format!("#[path = \"{name}/suite.rs\"]\nmod suite;");
        for over in ["tls", "http2_tls"] {
            let path = format!("tests/{name}_{over}.rs");
            if suite.is_none() || !text(&path).is_some_and(|it| it.contains(&shares)) {
                writeln!(wrong, "{path} does not share {name}/suite.rs, or there is none").unwrap();
            }
        }
        let modules = beside.captures_iter(&file.text).map(|it| it[1].to_owned());
        for module in modules.filter(|module| is_main && module != "suite") {
            if !own(&module).is_some_and(|it| it.contains(SAYS)) {
                writeln!(wrong, "tests/{name}/{module}.rs does not say `Transport: `").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "tried over one transport, without a word why:\n{wrong}");
    assert!(suites >= 5, "proxy, identity, dialects, edge and lifecycle are suites");
}
