//! Our view of paths and values against the real Puma, Rails router and Rack.
//!
//! Each pattern stands beside the routes that mean the same to Rails. Thousands of odd paths go
//! through Puma's parser and the router; what usher does not refuse, both must see alike.

use std::{
    fmt,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
};

use fastrand::Rng;
use http::{HeaderMap, HeaderValue, Method, header::COOKIE};
use serde_json::{Value, json};
use usher::classify::{
    Facts, Matcher, PathPattern, PathProblem, PathView, RuleSpec, Text, any_matches,
};
use usher::peer::Client;

const SEED: u64 = 20_240_229;
const PATHS: usize = 8_000;
const VALUES: usize = 4_000;

/// Patterns, and the routes that take the same paths. `:whole` has a constraint that lets dots in.
const SAME: &[(&str, &[&str])] = &[
    ("/", &["/"]),
    ("/**", &["/", "/*rest"]),
    ("/admin", &["/admin"]),
    ("/admin/**", &["/admin", "/admin/*rest"]),
    ("/admin/users", &["/admin/users"]),
    ("/admin/users/**", &["/admin/users", "/admin/users/*rest"]),
    ("/orders.json", &["/orders.json"]),
    ("/orders/:id", &["/orders/:whole"]),
    ("/orders/:id/**", &["/orders/:whole", "/orders/:whole/*rest"]),
    ("/orders/*/users", &["/orders/:whole/users"]),
    ("/*", &["/:whole"]),
    ("/*/**", &["/*rest"]),
    ("/:a/:b", &["/:whole1/:whole2"]),
    ("/:a/users/**", &["/:whole/users", "/:whole/users/*rest"]),
    ("/café/**", &["/café", "/café/*rest"]),
    ("/caf%c3%a9/**", &["/café", "/café/*rest"]),
    ("/a-b_c~1/**", &["/a-b_c~1", "/a-b_c~1/*rest"]),
    ("/orders;x", &["/orders;x"]),
    ("/$,;@&=+!'/users", &["/$,;@&=+!'/users"]),
    // An engine's place ends at a word boundary: Rails sends `/admin-x` and `/admin;x` there, too.
    (r"~^/admin(?-u:\b)", &["mount /admin"]),
];

/// Patterns that take all that these routes take, and more only where a segment holds a dot.
const AT_LEAST: &[(&str, &[&str])] = &[
    ("/orders/:id", &["/orders/:part"]),
    ("/orders/:id/users", &["/orders/:part/users"]),
    ("/:a/users/**", &["/:part/users", "/:part/users/*rest"]),
];

const ATOMS: &[&str] = &[
    "/",
    "/",
    "/",
    "//",
    "///",
    "admin",
    "admin",
    "users",
    "users",
    "orders",
    "orders",
    "ADMIN",
    "administrators",
    "caf%c3%a9",
    "caf%C3%A9",
    "caf%C3%a9",
    "caf%cC%Ab",
    "café",
    "a-b_c~1",
    "1",
    "x",
    ".",
    ".",
    ".json",
    ".tar.gz",
    "..",
    "...",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "\\",
    "%00",
    "%61dmin",
    "%",
    "%%",
    "%zz",
    "%a",
    "%aB",
    "%ff",
    ";",
    ";x",
    ";x=1",
    "$,;@&=+!'",
    "+",
    "~",
    "-",
    "_",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    "^",
    "`",
    "@",
    ":",
    ":id",
    "*",
    "!",
    "#",
    "é",
];

const LIKELY: &[&str] = &[
    "/admin",
    "/admin/users",
    "/admin/users/1/edit",
    "/orders.json",
    "/orders/1",
    "/orders/1/users",
    "/orders/1.2/users",
    "/orders/1/users/2",
    "/1/users/2",
    "/x/y",
    "/caf%c3%a9/1",
    "/caf%C3%A9.json",
    "/a-b_c~1/x",
    "/orders;x",
    "/$,;@&=+!'/users",
];

const VALUE_ATOMS: &[&str] = &[
    "a=", "a=", "a=", "; a=", ";a=", "&a=", "&a=", "[a]=", "b=", "&a", ";a", "a", "b", "=", ";",
    "; ", ";  ", "&", "&", " ", "+", "%20", "%61", "%", "%z", "%3d", "%3D", "%26", "%3b", "[", "]",
    "1", "2", ",", "\"", "é", "%C3%A9", "%ff",
];

/// What differs, for people.
struct Difference {
    what: String,
    sent: String,
    ours: String,
    theirs: String,
}

#[test]
fn usher_sees_paths_and_values_as_rails_and_rack_do() {
    let mut rng = Rng::with_seed(SEED);
    let paths: Vec<String> = (0..PATHS).map(|_| path(&mut rng)).collect();
    let cookies: Vec<String> = (0..VALUES).map(|_| text(&mut rng, VALUE_ATOMS)).collect();
    let queries: Vec<String> =
        (0..VALUES).map(|_| text(&mut rng, VALUE_ATOMS).replace(' ', "")).collect();
    let routes: Vec<_> = SAME.iter().chain(AT_LEAST).map(|(_, routes)| routes).collect();
    let said = ask_ruby(&json!({
        "routes": routes, "paths": paths, "cookies": cookies, "queries": queries, "name": "a",
    }));

    let mut differences = compare_paths(&paths, &said["paths"]);
    differences.extend(compare_values("cookie", &cookies, &said["cookies"]));
    differences.extend(compare_values("query", &queries, &said["queries"]));
    let shown: Vec<String> = differences.iter().take(20).map(Difference::to_string).collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), shown.join("\n"));
}

fn compare_paths(paths: &[String], said: &Value) -> Vec<Difference> {
    let patterns: Vec<_> = SAME.iter().chain(AT_LEAST).map(|(text, _)| parsed(text)).collect();
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut taken = vec![0; patterns.len()];
    for (path, said) in paths.iter().zip(rows(said)) {
        let Ok(view) = PathView::of(path) else { continue };
        if said.is_null() {
            continue;
        }
        compared += 1;
        let normal = said["normal"].as_str().expect("a text");
        if view.as_str() != normal {
            differences.push(difference("view", path, view.as_str(), normal));
        }
        for (i, (pattern, routed)) in patterns.iter().zip(rows(&said["routed"])).enumerate() {
            let (ours, theirs) = (pattern.matches(&view), routed.as_bool().expect("a boolean"));
            taken[i] += usize::from(ours);
            let allowed = i >= SAME.len() && ours && path.contains('.');
            if ours != theirs && !allowed {
                differences.push(difference(&pattern.to_string(), path, ours, theirs));
            }
        }
    }
    assert!(compared > PATHS / 2, "only {compared} of {PATHS} paths were compared");
    let idle = patterns.iter().zip(&taken).find(|(_, taken)| **taken < 10);
    assert!(idle.is_none(), "a pattern that hardly any path matched shows nothing: {idle:?}");
    differences
}

fn compare_values(kind: &str, sent: &[String], said: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut found = 0;
    for (sent, said) in sent.iter().zip(rows(said)) {
        let (texts, expected) = match said {
            Value::String(value) => (vec![Text::Exact(value.clone())], true),
            Value::Null => (vec![Text::parse("*").expect("a glob")], false),
            _ => continue,
        };
        found += usize::from(expected);
        if takes_value(kind, sent, texts) != expected {
            differences.push(difference(kind, sent, !expected, said));
        }
    }
    assert!(found > VALUES / 20, "only {found} of {VALUES} had a value to compare");
    differences
}

fn takes_value(kind: &str, sent: &str, texts: Vec<Text>) -> bool {
    let mut headers = HeaderMap::new();
    let (matcher, query) = match kind {
        "cookie" => {
            headers.insert(COOKIE, HeaderValue::from_bytes(sent.as_bytes()).expect("a value"));
            (Matcher::Cookie("a".into(), texts), None)
        }
        _ => (Matcher::Query("a".into(), texts), Some(sent)),
    };
    let client = Client::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let facts = Facts {
        method: &Method::GET,
        path: "/",
        query,
        host: "",
        headers: &headers,
        client,
        subject: None,
        identity: None,
        operation: None,
    };
    let rule = RuleSpec { label: "".into(), line: 1, all: vec![matcher], not: vec![] };
    any_matches(&[rule], &facts, &PathView::of("/").expect("a path"))
}

#[test]
fn a_path_that_puma_would_cut_off_is_refused() {
    let said = ask_ruby(&json!({
        "routes": [["/admin"]], "paths": ["/admin#x", "/admin"], "cookies": [], "queries": [],
    }));
    assert_eq!(said["paths"][0], said["paths"][1], "Puma ends a path at `#`");
    assert_eq!(PathView::of("/admin#x"), Err(PathProblem::Fragment));
}

fn ask_ruby(question: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails_paths/router.rb");
    let mut ruby = Command::new("ruby")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`ruby` with Debian's `ruby-actionpack` and `puma` is needed here");
    let mut stdin = ruby.stdin.take().expect("a pipe");
    stdin.write_all(question.to_string().as_bytes()).expect("ruby reads the question");
    drop(stdin);
    let output = ruby.wait_with_output().expect("ruby ends");
    assert!(output.status.success(), "ruby failed");
    serde_json::from_slice(&output.stdout).expect("ruby answers in JSON")
}

/// Half of all paths are anything; the others are nearly one that a route takes.
fn path(rng: &mut Rng) -> String {
    if rng.bool() {
        return format!("/{}", text(rng, ATOMS));
    }
    let mut path = LIKELY[rng.usize(0..LIKELY.len())].to_owned();
    for _ in 0..rng.usize(0..3) {
        let places: Vec<usize> = path.char_indices().map(|(at, _)| at).skip(1).collect();
        let at = if rng.bool() { path.len() } else { places[rng.usize(0..places.len())] };
        path.insert_str(at, ATOMS[rng.usize(0..ATOMS.len())]);
    }
    path
}

fn text(rng: &mut Rng, atoms: &[&str]) -> String {
    (0..rng.usize(0..8)).map(|_| atoms[rng.usize(0..atoms.len())]).collect()
}

fn parsed(text: &str) -> PathPattern {
    PathPattern::parse(text).expect("a pattern")
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn difference(
    what: &str,
    sent: &str,
    ours: impl fmt::Display,
    theirs: impl fmt::Display,
) -> Difference {
    let (what, sent) = (what.to_owned(), sent.to_owned());
    Difference { what, sent, ours: ours.to_string(), theirs: theirs.to_string() }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, sent, ours, theirs } = self;
        write!(f, "{what}: {sent:?} is {ours} to usher and {theirs} to Ruby")
    }
}
