//! Which operation a GraphQL request asks for: usher's reading beside that of Rails and
//! graphql-ruby.
//!
//! Where usher names an operation, that one would run, or none would: never another one, and never
//! one without a name.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
};

use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use usher::{
    classify::{Ask, Facts, Matcher, Operations, Places, RuleSpec, Text, operation_of_body},
    peer::Client,
};

/// A POST of JSON.
#[derive(Debug)]
struct Asked {
    target: String,
    body: String,
    /// Whether nothing in it was broken on purpose.
    is_whole: bool,
}

/// Definitions, each with a place for a name.
const DEFINITIONS: &[&str] = &[
    "query NAME { a }",
    "mutation NAME { a(b: {c: [1, {d: 2}]}) }",
    "subscription NAME{a}",
    "query NAME($x: Int = 3, $y: [String!]! = [\"b{\", \"\"]) @d(x: \"}\") { a(x: $x) { ...F } }",
    "query NAME { a(x: \"\"\"block { \"quoted\" \\\"\"\" query B { \n\"\"\") }",
    "query NAME { a(x: \"\\u0041 { \\\" \\n\") b: c @include(if: true) ... on T { d } ... { e } }",
    "query NAME { a # query B { a } \n }",
    "mutation NAME @live{ a(f: -1.5e3, e: RED, n: null) }",
    "query { a }",
    "{ a }",
    "query($x: Int) { a }",
    "fragment NAME on T { a }",
    "fragment F on T @d { ...G }",
];

const NAMES: &[&str] = &["A", "B", "query", "mutation", "fragment", "on", "_x", "a1", "PlaceOrder"];

const BETWEEN: &[&str] = &[" ", "\n", ",", "\r\n", "\t,\n", " # query C { a }\n", "\n#\"\"\"\n"];

/// What somebody might break.
const BROKEN: &[&str] =
    &["{", "}", "(", ")", "\"", "\"\"\"", "\\", "#", "\n", "query", "A", "é", "\0"];

/// Requests as people know them, and the operation that usher has to find.
fn known() -> Vec<(Asked, Option<&'static str>)> {
    let of = |target: &str, body: Value, expected| {
        let asked = Asked { target: target.into(), body: body.to_string(), is_whole: true };
        (asked, expected)
    };
    let both = "query A { a } query B { a }";
    let mut known = vec![
        of("/graphql", json!({ "query": "query A { a }" }), Some("A")),
        of("/graphql", json!({ "query": "{ a }" }), None),
        of("/graphql", json!({ "query": both }), None),
        of("/graphql", json!({ "query": both, "operationName": "B" }), Some("B")),
        of("/graphql", json!({ "query": both, "operationName": null }), None),
        of("/graphql", json!({ "query": "fragment F on T { a } query A { ...F }" }), Some("A")),
        of("/graphql", json!({ "query": "# query B { a }\nmutation A { a }" }), Some("A")),
        of("/graphql", json!({ "query": "query A { a(x: \"query B { a }\") }" }), Some("A")),
        of("/graphql", json!({ "query": "query A{a(x:\"\"\"\n} query B {\n\"\"\")}" }), Some("A")),
        of("/graphql", json!([{ "query": "query A { a }" }, { "query": "{ a }" }]), None),
        of("/graphql", json!([{ "query": "query A { a }" }, { "query": both }]), None),
        of(
            "/graphql",
            json!([{ "query": "query A { a }" }, { "query": "query A { b }" }]),
            Some("A"),
        ),
        of("/graphql?operationName=B", json!({ "query": both, "operationName": "A" }), Some("B")),
        of("/graphql?query=query+A%7Ba%7D", json!({ "query": "query B { a }" }), Some("A")),
        of("/graphql?query=%7Ba%7D", json!({ "query": "query B { a }" }), None),
        of("/graphql?query=query+A%7Ba%7D+%7Ba%7D", json!({ "query": "query B { a }" }), None),
    ];
    let escaped = r#"{"qu\u0065ry":"qu\u0065ry \u0041 { a }","operation\u004eame":null}"#;
    let twice = concat!(
        r#"{"query":"query B { a }","operationName":"B","operationName":null,"#,
        r#""query":"query A { a }"}"#,
    );
    for body in [escaped, twice] {
        let asked = Asked { target: "/graphql".into(), body: body.into(), is_whole: true };
        known.push((asked, Some("A")));
    }
    known
}

/// A document, and whether nothing in it is broken.
fn document(random: &mut fastrand::Rng) -> (String, bool) {
    let of = |random: &mut fastrand::Rng, all: &[&str]| all[random.usize(..all.len())].to_owned();
    let mut text = String::new();
    // No two of a document have one name (GraphQL, October 2021, §5.2.1.1).
    let several = if random.bool() { 1 } else { random.usize(2..4) };
    for name in random.choose_multiple(NAMES, several) {
        text += &of(random, BETWEEN);
        text += &of(random, DEFINITIONS).replace("NAME", name);
    }
    let whole = random.u8(..10) > 3;
    if !whole {
        for _ in 0..random.usize(1..4) {
            let at = (0..=random.usize(..=text.len())).rev().find(|at| text.is_char_boundary(*at));
            let (before, after) = text.split_at(at.unwrap());
            text = match random.u8(..3) {
                0 => format!("{before}{}{after}", of(random, BROKEN)),
                1 => format!("{before}{}", after.chars().skip(1).collect::<String>()),
                _ => format!(
                    "{before}{}",
                    after.chars().skip(random.usize(..20)).collect::<String>()
                ),
            };
        }
    }
    (text, whole)
}

fn asked(random: &mut fastrand::Rng) -> Asked {
    let mut is_whole = true;
    let mut one = |random: &mut fastrand::Rng| {
        let (text, whole) = document(random);
        is_whole &= whole;
        let name = NAMES[random.usize(..NAMES.len())];
        match random.u8(..8) {
            0 => json!({ "query": text, "operationName": name }),
            1 => json!({ "query": text, "operationName": null, "variables": { "query": name } }),
            2 => json!({ "query": text, "operationName": "" }),
            3 => json!({ "operationName": name, "query": text, "extensions": { "x": [name] } }),
            4 => json!({ "query": text, "operationName": 7 }),
            _ => json!({ "query": text }),
        }
    };
    let body = match random.u8(..6) {
        0 => Value::from_iter((0..random.usize(1..3)).map(|_| one(random))),
        _ => one(random),
    };
    let target = match random.u8(..10) {
        // What a target says of a batch is the client's word: each of its requests has its own.
        _ if body.is_array() => "/graphql".to_owned(),
        0 => {
            let (text, whole) = document(random);
            is_whole &= whole;
            let text = form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            format!("/graphql?query={text}")
        }
        1 => format!("/graphql?operationName={}", NAMES[random.usize(..NAMES.len())]),
        _ => "/graphql".to_owned(),
    };
    Asked { target, body: body.to_string(), is_whole }
}

/// The operation that usher finds, as it would for a rule that wants to know.
fn found(asked: &Asked) -> Option<String> {
    let matcher = Matcher::Operation(vec![Text::parse("*").unwrap()]);
    let rule = RuleSpec { label: "".into(), line: 1, all: vec![matcher], not: vec![] };
    let places = Places { body_bytes_max: Some(1 << 20), ..Places::default() };
    let operations = Operations::new(places, [&rule]).unwrap();
    let headers =
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let (path, query) = match asked.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (asked.target.as_str(), None),
    };
    let look = operations.look(&Facts {
        method: &Method::POST,
        path,
        query,
        host: "shop.example",
        headers: &headers,
        client: Client::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        subject: None,
        identity: None,
        operation: None,
    });
    let look = look.unwrap();
    let body = look.body.map(|ask| match ask {
        Ask::Read(_) => operation_of_body(asked.body.as_bytes()).0,
        Ask::Leave(reading) => panic!("{reading:?}"),
    });
    look.operation.or(body.unwrap_or_default()).name.map(Into::into)
}

/// What Rails and graphql-ruby would run of each: a list for each, of its requests.
fn run(all: &[Asked]) -> Vec<Vec<Value>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("requests");
    let line = |it: &Asked| json!({ "target": it.target, "body": it.body }).to_string() + "\n";
    fs::write(&path, all.iter().map(line).collect::<String>()).unwrap();
    let mut ruby = Command::new("ruby");
    ruby.arg("tests/identities/operations.rb").stdin(Stdio::from(File::open(&path).unwrap()));
    let output = ruby.stderr(Stdio::null()).output().expect("tests/run installs it");
    let text = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<Vec<Value>> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(runs.len(), all.len(), "a line for each");
    runs
}

#[test]
fn an_operation_that_is_named_is_the_one_that_would_run() {
    let mut random = fastrand::Rng::with_seed(7);
    let known = known();
    for (asked, expected) in &known {
        assert_eq!(found(asked).as_deref(), *expected, "{asked:?}");
    }
    let mut all: Vec<Asked> = known.into_iter().map(|(asked, _)| asked).collect();
    all.extend((0..4_000).map(|_| asked(&mut random)));
    let (mut named, mut missed, mut nothing) = (0, 0, 0);
    for (asked, runs) in all.iter().zip(run(&all)) {
        let found = found(asked);
        let ran: BTreeSet<Option<&str>> =
            runs.iter().filter(|it| !it.is_boolean()).map(Value::as_str).collect();
        if let Some(found) = &found {
            let others = ran.iter().any(|it| *it != Some(found));
            assert!(!others, "usher says {found}, and {ran:?} would run: {asked:?}");
        }
        let one = runs.iter().all(|it| it.is_string()) && ran.len() == 1;
        match found {
            Some(_) if one => named += 1,
            None if one && asked.is_whole => missed += 1,
            Some(_) | None => nothing += 1,
        }
    }
    assert!(named > 500 && nothing > 500, "{named} named, {nothing} of which nothing runs");
    assert!(missed * 50 < named, "{missed} were not found, {named} were");
}
