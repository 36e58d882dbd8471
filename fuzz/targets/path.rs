//! A path that is seen holds no segment that two readers could understand differently, and looks
//! the same when it is seen again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::classify::PathView;

fuzz_target!(|raw: &str| {
    let Ok(view) = PathView::of(raw) else { return };
    let seen = view.as_str();
    assert!(seen.starts_with('/') && !seen.contains("//"), "{seen}");
    assert!(seen == "/" || !seen.ends_with('/'), "{seen}");
    assert!(!seen.contains(['#', '\\', '\0']), "{seen}");
    let decoded = seen.to_ascii_lowercase().replace("%2e", ".");
    let decoded = decoded.replace("%2f", "/").replace("%5c", "/");
    assert!(!decoded.contains("%00"), "{seen}");
    assert!(!decoded.split('/').any(|segment| segment == "." || segment == ".."), "{seen}");
    assert_eq!(PathView::of(seen).expect("what was seen can be seen").as_str(), seen);
});
