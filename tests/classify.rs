//! The compiled classifier against trying every rule in turn, on random rules and requests.

use std::{
    net::{IpAddr, Ipv4Addr},
    slice,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::{collection::vec, option, prelude::*, sample::select};
use usher::classify::{
    Choice, Classifier, Facts, HostPattern, Matcher, PathPattern, PathView, RuleSpec, Step, Text,
    any_matches, covers, trace,
};
use usher::peer::Client;

const PATHS: &[&str] = &[
    "/",
    "/**",
    "/a",
    "/a/**",
    "/a/b",
    "/a/*",
    "/*",
    "/*/b",
    "/*/**",
    "/:x/:y/**",
    "/a/b/c",
    "/a.json",
    "/b/**",
    "/b/a/**",
    "~^/a",
    "~b$",
    "~[.]json$",
    "/%c3%a9/**",
    "/*/*/c",
    "/a/*/c",
];
const HOSTS: &[&str] =
    &["a.test", "b.test", "*.test", "*.a.test", "x.*.test", "*.*.test", "~^a", "~test$"];
const TEXTS: &[&str] = &["a", "b", "a b", "", "a*", "*b", "*", "~^a", "~b", "a, b"];
const METHODS: &[&str] = &["GET", "POST", "P*", "~^GET$"];
const NETWORKS: &[&str] = &["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "::/0"];
const KINDS: &[&str] =
    &["path", "path", "path", "host", "header", "header", "method", "cookie", "query", "client"];
const NAMES: &[&str] = &["x", "y"];

const SENT_PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a.json",
    "/a/b",
    "//a//b",
    "/a/b.json",
    "/b",
    "/c",
    "/a/b/c",
    "/b/a/x",
    "/a/b/c.xml",
    "/x/b/c",
    "/a.",
    "/a.b.c",
    "/%c3%a9/x",
    "/a%2fb",
    "/a;b",
    "/b/a.json/c",
];
const SENT_HOSTS: &[&str] =
    &["a.test", "A.TEST:80", "b.test.", "c.test", "x.a.test", "x.y.test", "test", "", "[::1]:1"];
const SENT_TEXTS: &[&str] = &["a", "b", "ab", "a b", "", "ba", "a+b", "a%20b", "%zz"];

/// A request as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    cookies: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
    client: [u8; 4],
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        max_global_rejects: 65_536,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_compiled_classifier_agrees_with_trying_every_rule(
        audiences in vec(vec(rule(), 1..5), 0..6),
        catch_all in any::<bool>(),
        requests in vec(sent(), 1..8),
    ) {
        let mut audiences = audiences;
        audiences.extend(catch_all.then(Vec::new));
        let classifier = Classifier::new(&audiences);
        for request in requests {
            request.ask(|facts, path| {
                let steps = trace(&audiences, facts, path);
                assert_eq!(classifier.classify(facts, path), taken(&steps), "{steps:?}");
            });
        }
    }

    #[test]
    fn what_a_rule_covers_it_takes(
        (earlier, later) in pair(),
        requests in vec(sent(), 16..24),
    ) {
        prop_assume!(covers(&earlier, &later));
        for request in requests {
            request.ask(|facts, path| {
                let takes = |rule: &RuleSpec| any_matches(slice::from_ref(rule), facts, path);
                assert!(!takes(&later) || takes(&earlier), "{} {}", earlier.label, later.label);
            });
        }
    }

    #[test]
    fn no_path_makes_the_view_panic_and_a_view_is_its_own_view(raw in "[ -~é\0]{0,24}") {
        if let Ok(view) = PathView::of(&raw) {
            let again = PathView::of(view.as_str());
            assert!(again.is_ok_and(|again| again == view), "{raw}");
        }
    }
}

#[test]
fn a_rule_takes_the_request_before_all_that_stand_behind_it() {
    let audiences = [
        vec![spec(vec![header("driver")], vec![])],
        vec![spec(vec![path("/admin/**")], vec![]), spec(vec![path("/x")], vec![header("rider")])],
        vec![],
    ];
    let classifier = Classifier::new(&audiences);
    let decide = |path: &'static str, app: &'static str| {
        let headers = vec![("x", app)];
        let (cookies, query) = (vec![], vec![]);
        let sent = Sent { method: "GET", path, host: "", headers, cookies, query, client: [1; 4] };
        let mut choice = None;
        sent.ask(|facts, path| choice = classifier.classify(facts, path));
        choice.map(|Choice { audience, rule }| (audience, rule))
    };
    assert_eq!(decide("/admin/x", "driver"), Some((0, Some(0))));
    assert_eq!(decide("/admin/x", "rider"), Some((1, Some(0))));
    assert_eq!(decide("/x.json", "walker"), Some((1, Some(1))));
    assert_eq!(decide("/x.json", "rider"), Some((2, None)));
}

impl Sent {
    fn ask(&self, mut question: impl FnMut(&Facts<'_>, &PathView<'_>)) {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if !self.cookies.is_empty() {
            let crumbs = pairs(&self.cookies).join("; ");
            headers.insert("cookie", HeaderValue::from_str(&crumbs).expect("plain cookies"));
        }
        let query = (!self.query.is_empty()).then(|| pairs(&self.query).join("&"));
        let facts = Facts {
            method: &Method::from_bytes(self.method.as_bytes()).expect("a method"),
            path: self.path,
            query: query.as_deref(),
            host: self.host,
            headers: &headers,
            client: Client::Ip(IpAddr::V4(Ipv4Addr::from(self.client))),
            subject: None,
            identity: None,
            operation: None,
        };
        question(&facts, &PathView::of(self.path).expect("a path that is served"));
    }
}

fn taken(steps: &[Step]) -> Option<Choice> {
    let last = steps.last().filter(|step| step.miss.is_none())?;
    Some(Choice { audience: last.audience, rule: last.rule })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn sent() -> impl Strategy<Value = Sent> {
    let fields = || vec((select(NAMES), select(SENT_TEXTS)), 0..3);
    let client = select(vec![[10, 1, 2, 3], [10, 2, 0, 1], [192, 0, 2, 1], [8, 8, 8, 8]]);
    let line = (select(vec!["GET", "POST", "PUT"]), select(SENT_PATHS), select(SENT_HOSTS));
    (line, fields(), fields(), fields(), client).prop_map(
        |((method, path, host), headers, cookies, query, client)| Sent {
            method,
            path,
            host,
            headers,
            cookies,
            query,
            client,
        },
    )
}

fn rule() -> impl Strategy<Value = RuleSpec> {
    let not = option::weighted(0.2, matcher()).prop_map(|not| not.into_iter().collect());
    (vec(matcher(), 1..4), not).prop_map(|(all, not)| spec(all, not))
}

fn matcher() -> impl Strategy<Value = Matcher> {
    select(KINDS).prop_flat_map(matcher_of)
}

fn matcher_of(kind: &'static str) -> BoxedStrategy<Matcher> {
    let some = |values: &'static [&'static str]| vec(select(values), 1..3);
    let named =
        (select(NAMES), some(TEXTS)).prop_map(|(n, texts)| (n, parsed(&texts, Text::parse)));
    match kind {
        "path" => some(PATHS).prop_map(|t| Matcher::Path(parsed(&t, PathPattern::parse))).boxed(),
        "host" => some(HOSTS).prop_map(|t| Matcher::Host(parsed(&t, HostPattern::parse))).boxed(),
        "method" => some(METHODS).prop_map(|t| Matcher::Method(parsed(&t, Text::parse))).boxed(),
        "client" => some(NETWORKS).prop_map(|t| Matcher::Client(parsed(&t, str::parse))).boxed(),
        "cookie" => named.prop_map(|(name, texts)| Matcher::Cookie(name.into(), texts)).boxed(),
        "query" => named.prop_map(|(name, texts)| Matcher::Query(name.into(), texts)).boxed(),
        _ => named
            .prop_map(|(name, texts)| Matcher::Header(HeaderName::from_static(name), texts))
            .boxed(),
    }
}

/// Two rules of which the first may well cover the second.
fn pair() -> impl Strategy<Value = (RuleSpec, RuleSpec)> {
    let twins = select(KINDS).prop_flat_map(|kind| (matcher_of(kind), matcher_of(kind)));
    let not = || option::weighted(0.3, matcher()).prop_map(|not| not.into_iter().collect());
    (twins, option::of(matcher()), not(), not()).prop_map(|((wide, narrow), more, a, b)| {
        let b: Vec<Matcher> = b;
        let shut_out = a.iter().chain(&b).cloned().collect();
        (spec(vec![wide], a), spec([narrow].into_iter().chain(more).collect(), shut_out))
    })
}

fn parsed<T, E: std::fmt::Debug>(texts: &[&str], parse: fn(&str) -> Result<T, E>) -> Vec<T> {
    texts.iter().map(|text| parse(text).expect("a pattern")).collect()
}

fn spec(all: Vec<Matcher>, not: Vec<Matcher>) -> RuleSpec {
    let label = format!("{all:?} not {not:?}").into();
    RuleSpec { label, line: 1, all, not }
}

fn path(text: &'static str) -> Matcher {
    Matcher::Path(parsed(&[text], PathPattern::parse))
}

fn header(text: &'static str) -> Matcher {
    Matcher::Header(HeaderName::from_static("x"), parsed(&[text], Text::parse))
}
