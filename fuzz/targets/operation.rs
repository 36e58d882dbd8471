//! What a GraphQL body or target says is a name or an id of bounded length, whatever was written;
//! the same document under other blanks says the same, and one more operation makes it say nothing.

#![no_main]

use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use usher::{
    classify::{
        Facts, Matcher, OPERATION_BYTES_MAX, Operation, Operations, Places, Reading, RuleSpec,
        Text, is_operation_name, operation_of_body,
    },
    peer::Client,
};

fn sound(operation: &Operation) {
    if let Some(name) = &operation.name {
        assert!(is_operation_name(name), "{name}");
    }
    if let Some(id) = &operation.id {
        assert!((1..=OPERATION_BYTES_MAX).contains(&id.len()), "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
}

/// What a target with these parameters says.
fn of_target(query: &str) -> Operation {
    let text = || vec![Text::parse("*").expect("a pattern")];
    let all = vec![Matcher::Operation(text())];
    let rule = RuleSpec { label: "".into(), line: 1, all, not: vec![] };
    let operations = Operations::new(Places::default(), [&rule]).expect("it asks");
    let look = operations.look(&Facts {
        method: &Method::GET,
        path: "/",
        query: Some(query),
        host: "a",
        headers: &HeaderMap::new(),
        client: Client::Unix,
        subject: None,
        identity: None,
        operation: None,
    });
    look.expect("the path is a path").operation
}

/// What a body with this document says.
fn of_document(document: &str) -> Option<String> {
    let body = serde_json::json!({ "query": document }).to_string();
    operation_of_body(body.as_bytes()).0.name.map(Into::into)
}

fuzz_target!(|bytes: &[u8]| {
    let (operation, reading) = operation_of_body(bytes);
    sound(&operation);
    assert_eq!(reading == Reading::Found, operation != Operation::default());
    // Twice the same is the same, as a batch.
    if bytes.first() == Some(&b'{') && reading == Reading::Found {
        let batch = [b"[", bytes, b",", bytes, b"]"].concat();
        assert_eq!(operation_of_body(&batch), (operation, reading));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    sound(&of_target(text));
    let Some(name) = of_document(text) else { return };
    assert!(is_operation_name(&name));
    assert_eq!(
        of_document(&format!("\u{feff}# a\r\n,{}\n", text.trim_start_matches('\u{feff}'))),
        Some(name)
    );
    for more in ["{ a }", "query A { a }", "\n}"] {
        assert_eq!(of_document(&format!("{text}\n{more}")), None, "{more}");
    }
});
