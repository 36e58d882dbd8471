//! What usher takes is what a second, simple reader takes for the same: as many requests, the same
//! targets, the same bodies.

#![no_main]

#[path = "../../tests/http/strict.rs"]
#[allow(dead_code)]
mod strict;

use libfuzzer_sys::fuzz_target;
use usher::edge::h1::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(whole)) = fuzzing::read(rest) {
        let target = whole.head.uri().to_string();
        assert!(target.starts_with('/') || target == "*", "{target}");
        assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
        assert_eq!(whole.head.headers().get_all("host").iter().count(), 1);
        if let Ok(read) = strict::read(rest) {
            let (request, length) = read.expect("it is whole to both");
            let line = format!("{} {target} HTTP/1.1", whole.head.method());
            assert_eq!(request.line, line);
            assert_eq!(length, whole.length);
            assert_eq!(request.chunked, whole.chunked);
            assert_eq!(request.body, whole.body);
        }
        rest = &rest[whole.length..];
    }
});
