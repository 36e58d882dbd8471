//! No text makes the reader of configurations panic, and every problem it finds stands in the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::config::{self, LoadOptions};

fuzz_target!(|text: &str| {
    // It may name files, and some have no end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let options = LoadOptions { allow_missing_files: true, ..LoadOptions::default() };
    if let Err(problems) = config::parse_text("fuzz.yaml", text, &options) {
        assert!(problems.to_string().contains("fuzz.yaml"));
    }
});
