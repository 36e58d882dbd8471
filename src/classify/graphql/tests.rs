//! What requests ask for: as clients say it, and as nobody should.

use std::net::IpAddr;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::{
    classify::{PathPattern, Text},
    peer::Client,
};

fn sole(text: &str) -> Option<String> {
    document::sole_operation(text.as_bytes()).map(String::from)
}

fn said(body: &str) -> (Option<String>, Option<String>, Reading) {
    let (Operation { name, id }, reading) = operation_of_body(body.as_bytes());
    (name.map(String::from), id.map(String::from), reading)
}

#[test]
fn the_one_operation_of_a_document_is_found() {
    for (text, name) in [
        ("query PlaceOrder { a }", Some("PlaceOrder")),
        (
            "mutation PlaceOrder($a: [I!]! = [{x: {y: \"}\"}}]) @d(a: {b: 1}) { a(b: $a) { c } }",
            Some("PlaceOrder"),
        ),
        ("subscription _s1{a}", Some("_s1")),
        ("\u{feff}# query Other { a }\n,,query\tA\r\n{ a # }\n }", Some("A")),
        ("fragment F on T { a } query A { ...F } fragment G on T { b }", Some("A")),
        ("query A { a(b: \"\\\"} query B { \") }", Some("A")),
        ("query A { a(b: \"\"\"\n } query B { \\\"\"\" \"quoted\" \"\"\") }", Some("A")),
        ("query A { a(b: -1.5e10, c: [1, 2], d: {e: $f}) ... on T @x { b } }", Some("A")),
        ("\"What it is for\" query A { a }", Some("A")),
        ("query query { query }", Some("query")),
        ("query A @a { b }", Some("A")),
        ("{ a }", None),
        ("query { a }", None),
        ("query @live { a }", None),
        ("query ($a: Int) { a }", None),
        ("query A { a } query B { b }", None),
        ("query A { a } { b }", None),
        ("fragment F on T { a }", None),
        ("", None),
        ("# query A { a }", None),
    ] {
        assert_eq!(sole(text).as_deref(), name, "{text}");
    }
}

#[test]
fn a_text_that_is_no_document_names_nothing() {
    let deep = format!("query A {}{}", "{a".repeat(300), "}".repeat(300));
    for text in [
        "query A",
        "query A {",
        "query A { a }}",
        "query A { a ) }",
        "query A { a([) ] }",
        "query A { a(b: \"x) }",
        "query A { a(b: \"x\n\") }",
        "query A { a(b: \"\"\"x\"\") }",
        "query A { a(b: \"\\",
        "query A [a] { b }",
        "query A { a } type T { b: Int }",
        "schema { query: Q }",
        "Query A { a }",
        "query A { a } \"dangling\"",
        "query A { a % b }",
        "query A { ä }",
        "fragment { a } query A { a }",
        "query A \"s\" { a }",
        &deep,
    ] {
        assert_eq!(sole(text), None, "{text}");
    }
}

#[test]
fn a_body_says_what_clients_say() {
    let text = |text: &str| Some(text.to_owned());
    for (body, name, id) in [
        // Apollo's clients, with and without the document.
        (
            r#"{"operationName":"A","variables":{"operationName":"X"},"query":"query B { b }"}"#,
            text("A"),
            None,
        ),
        (
            r#"{"operationName":"A","extensions":{"persistedQuery":{"sha256Hash":"00ff"}}}"#,
            text("A"),
            text("00ff"),
        ),
        // GraphQL over HTTP, Relay's examples, graphql-ruby and its Apollo link.
        (r#"{"documentId":"sha256:7f","variables":{}}"#, None, text("sha256:7f")),
        (r#"{"doc_id":"42"}"#, None, text("42")),
        (r#"{"id":"42"}"#, None, text("42")),
        (r#"{"operationId":"web/7f","operationName":"A"}"#, text("A"), text("web/7f")),
        (r#"{"extensions":{"operationId":"web/7f"}}"#, None, text("web/7f")),
        // Only a document.
        (r#"{"query":"mutation A { a }"}"#, text("A"), None),
        (r#"{"query":"mutation A { a }","operationName":null}"#, text("A"), None),
        (r#"{"query":"mutation A { a }","operationName":""}"#, text("A"), None),
        (" {\"query\":\"\\u0071uery A{a}\"}\n", text("A"), None),
        (r#"{"operation\u004eame":"A"}"#, text("A"), None),
        // The last of a key counts.
        (r#"{"operationName":"A","operationName":"B"}"#, text("B"), None),
        (r#"{"operationName":"A","operationName":null}"#, None, None),
        (
            r#"{"extensions":{"persistedQuery":{"sha256Hash":"a","sha256Hash":"b"}}}"#,
            None,
            text("b"),
        ),
        // Others than clients send.
        (r#"{"operationName":7,"id":7,"extensions":[1],"query":{"a":[]}}"#, None, None),
        (r#"{"operationName":"not a name"}"#, None, None),
        (r#"{"operationName":"Ä"}"#, None, None),
        (r#"{"id":"with blank"}"#, None, None),
        (r#"{"x":1e999999999999,"y":-0.0,"operationName":"A"}"#, text("A"), None),
        ("{}", None, None),
    ] {
        let nothing = name.is_none() && id.is_none();
        let reading = if nothing { Reading::Nameless } else { Reading::Found };
        assert_eq!(said(body), (name, id, reading), "{body}");
    }
    let long = format!(r#"{{"operationName":"{0}","id":"{0}"}}"#, "a".repeat(257));
    assert_eq!(said(&long), (None, None, Reading::Nameless));
    let (open, close) = ("[".repeat(50_000), "]".repeat(50_000));
    let deep = format!(r#"{{"query":{open}{close},"x":{open}{close},"operationName":"A"}}"#);
    assert_eq!(said(&deep), (text("A"), None, Reading::Found), "depth costs nothing");
}

#[test]
fn a_batch_asks_for_what_all_of_it_asks_for() {
    for (body, name, reading) in [
        (r#"[{"operationName":"A"}]"#, Some("A"), Reading::Found),
        (r#"[{"operationName":"A"},{"query":"query A { a }"}]"#, Some("A"), Reading::Found),
        (r#"[{"operationName":"A"},{"operationName":"B"}]"#, None, Reading::Mixed),
        (r#"[{"operationName":"A"},{}]"#, None, Reading::Mixed),
        (r#"[{"operationName":"A"},7]"#, None, Reading::Mixed),
        (r#"[{"operationName":"A"},{"operationName":"A","id":"1"}]"#, None, Reading::Mixed),
        ("[]", None, Reading::Nameless),
        ("[{}]", None, Reading::Nameless),
    ] {
        assert_eq!(said(body), (name.map(str::to_owned), None, reading), "{body}");
    }
}

#[test]
fn what_is_no_json_says_nothing() {
    let deep = format!("{{\"operationName\":\"A\",\"x\":{}", "[".repeat(100_000));
    for body in [
        "",
        "7",
        "\"operationName\"",
        "null",
        r#"{"operationName":"A"} x"#,
        r#"{"operationName":"A","#,
        r#"{'operationName':'A'}"#,
        r#"{"operationName":"A",}"#,
        r#"{"operationName":"\ud800"}"#,
        "\u{feff}{\"operationName\":\"A\"}",
        "operationName=A",
        &deep,
    ] {
        assert_eq!(said(body), (None, None, Reading::Malformed), "{body:.60}");
    }
    for body in [&b"{\"operationName\":\"A\xff\"}"[..], b"\xff\xfe{\0}\0", b"\x1f\x8b\x08\x00"] {
        assert_eq!(operation_of_body(body).1, Reading::Malformed);
    }
}

/// A rule for `path` that asks for the operation `A`.
fn rule(path: Option<&str>, matcher: fn(Vec<Text>) -> Matcher) -> RuleSpec {
    let path = path.map(|path| Matcher::Path(vec![PathPattern::parse(path).expect("a path")]));
    let all = path.into_iter().chain([matcher(vec![Text::parse("A").expect("a text")])]).collect();
    RuleSpec { label: "".into(), line: 1, all, not: vec![] }
}

fn look(
    rules: &[RuleSpec],
    body_bytes_max: Option<usize>,
    method: &Method,
    target: &str,
    fields: &[(&'static str, &str)],
) -> Option<Look> {
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        })
        .collect();
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let facts = Facts {
        method,
        path,
        query,
        host: "a",
        headers: &headers,
        client: Client::Ip(IpAddr::from([127, 0, 0, 1])),
        subject: None,
        identity: None,
        operation: None,
    };
    let places = Places { body_bytes_max, ..Places::default() };
    Operations::new(places, rules).expect("they ask for operations").look(&facts)
}

#[test]
fn a_head_says_it_in_its_target_before_its_fields() {
    let rules = [rule(Some("/graphql"), Matcher::Operation), rule(None, Matcher::Document)];
    let fields = [("x-apollo-operation-name", "F"), ("x-apollo-operation-id", "f")];
    let persisted = "extensions=%7B%22persistedQuery%22:%7B%22sha256Hash%22:%22p%22%7D%7D";
    for (target, name, id) in [
        ("/graphql", "F", "f"),
        ("/graphql?operationName=T", "T", "f"),
        ("/graphql?operationName=", "F", "f"),
        ("/graphql?operationName=no%20name", "F", "f"),
        ("/graphql?query=query%20Q{a}", "Q", "f"),
        ("/graphql?query=query%20Q{a}&operationName=T", "T", "f"),
        (&format!("/graphql?{persisted}&id=i"), "F", "p"),
        ("/graphql?extensions=[&id=i", "F", "i"),
        ("/graphql?documentId=sha256:d&doc_id=x&id=i", "F", "sha256:d"),
        ("/graphql?operationId=web/7f", "F", "web/7f"),
    ] {
        let found = look(&rules, Some(100), &Method::POST, target, &fields).expect("a rule may");
        let shown = (found.operation.name.as_deref(), found.operation.id.as_deref());
        assert_eq!(shown, (Some(name), Some(id)), "{target}");
        assert_eq!(found.body, None, "{target}: nothing is missing");
    }
    let bad = [("x-apollo-operation-name", "not a name"), ("x-apollo-operation-id", "a b")];
    let found = look(&rules, None, &Method::GET, "/graphql", &bad).expect("a rule may");
    assert_eq!(found.operation, Operation::default());
}

#[test]
fn a_body_is_asked_only_where_it_may_say_what_a_rule_lacks() {
    let json = ("content-type", "Application/JSON; charset=utf-8");
    let rules = [rule(Some("/graphql"), Matcher::Operation)];
    let ask = |method: Method, target: &str, fields: &[(&'static str, &str)]| {
        look(&rules, Some(100), &method, target, fields).map(|look| look.body)
    };
    let read = Some(Some(Ask::Read(100)));
    let leave = |reading| Some(Some(Ask::Leave(reading)));
    assert_eq!(ask(Method::POST, "/graphql", &[json]), read);
    assert_eq!(ask(Method::POST, "/graphql", &[json, ("content-length", "100")]), read);
    assert_eq!(ask(Method::POST, "/graphql", &[json, ("content-encoding", "identity")]), read);
    assert_eq!(ask(Method::POST, "/graphql?id=1", &[json]), read, "the rule asks for a name");
    let large = [json, ("content-length", "101")];
    assert_eq!(ask(Method::POST, "/graphql", &large), leave(Reading::Large));
    let encoded = [json, ("content-encoding", "gzip")];
    assert_eq!(ask(Method::POST, "/graphql", &encoded), leave(Reading::Encoded));
    assert_eq!(ask(Method::POST, "/graphql", &[json, ("content-length", "0")]), Some(None));
    assert_eq!(ask(Method::GET, "/graphql", &[json]), Some(None));
    assert_eq!(ask(Method::POST, "/graphql?operationName=B", &[json]), Some(None));
    let multipart = ("content-type", "multipart/form-data; boundary=x");
    assert_eq!(ask(Method::POST, "/graphql", &[multipart]), Some(None));
    assert_eq!(ask(Method::POST, "/graphql", &[]), Some(None));
    assert_eq!(ask(Method::POST, "/other", &[json]), None, "no rule can take it");
    let off = look(&rules, None, &Method::POST, "/graphql", &[json]);
    assert_eq!(off.expect("a rule may").body, None);
}

#[test]
fn a_rule_that_shuts_an_operation_out_asks_for_it_as_well() {
    let shut = |path| {
        let mut rule = rule(Some(path), Matcher::Operation);
        rule.not = vec![rule.all.remove(1)];
        rule
    };
    let look = look(&[shut("/graphql")], None, &Method::GET, "/graphql?operationName=A", &[]);
    assert_eq!(look.expect("a rule may").operation.shown(), Some("A"));
    let plain = RuleSpec { not: vec![], ..shut("/x") };
    assert!(Operations::new(Places::default(), [&plain]).is_none(), "nothing asks for one");
    let anywhere = rule(None, Matcher::Operation);
    let operations = |rules: &[RuleSpec]| Operations::new(Places::default(), rules).expect("some");
    assert!(operations(&[anywhere]).looks_everywhere());
    assert!(!operations(&[shut("/x")]).looks_everywhere());
}

const GOOD: &str = "query A($a: [Int!] = [1]) @d(x: {y: \"z\"}) { a(b: \"\"\"c\"\"\") { ...F } } \
                    fragment F on T { d # e\n }";

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = document::sole_operation(&text);
        let _ = operation_of_body(&text);
        let _ = body::id_of_extensions(&text);
    }

    #[test]
    fn no_tokens_make_it_panic(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "query", "mutation", "fragment", "on", "A", "{", "}", "(", ")", "[", "]", "\"",
                "\"\"\"", "\\", "#", "\n", " ", ",", "$", "...", "1", "@", "\u{feff}", "é",
            ]),
            0..60,
        ),
    ) {
        let _ = document::sole_operation(tokens.concat().as_bytes());
    }

    /// A document that was changed in one place names what it named, or nothing, or what was
    /// changed into a name.
    #[test]
    fn a_damaged_document_names_nothing_that_does_not_stand_in_it(
        at in 0..GOOD.len(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut text = GOOD.as_bytes().to_vec();
        if cut { text.truncate(at) } else { text[at] = byte }
        if let Some(name) = document::sole_operation(&text) {
            prop_assert!(document::is_name(name.as_bytes()));
            prop_assert!(memchr::memmem::find(&text, name.as_bytes()).is_some());
        }
    }
}
