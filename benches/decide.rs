//! What a decision costs, by the number of rules: `cargo bench --bench decide`.
//!
//! Every audience has one rule and every rule another value; requests are spread evenly over them,
//! so that the caches see many rules and not one. A decision is `PathView::of` and `classify`; a
//! sample is every request in turn, often. Rows that allocate show how much; most show nothing.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
};

use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use usher::classify::{
    Choice, Classifier, Facts, HostPattern, Matcher, PathPattern, PathView, RuleSpec, Text,
};
use usher::peer::Client;

const RULES: [usize; 3] = [10, 1_000, 100_000];
const REQUESTS: usize = 1_024;
const SAMPLE: u32 = 8 * 1_024;

/// A request as it was sent, kept in one place.
struct Sent {
    path: String,
    host: String,
    headers: HeaderMap,
}

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::Divan::default().sample_count(50).sample_size(SAMPLE).config_with_args().main();
}

/// `/place-7/**`
#[divan::bench(args = RULES)]
fn by_path(bencher: Bencher<'_, '_>, rules: usize) {
    decide(
        bencher,
        rules,
        |i| path(&format!("/place-{i}/**")),
        |i| sent(&format!("/place-{i}/x/1"), "", ""),
    );
}

/// `/api/:version/place-7/**`
#[divan::bench(args = RULES)]
fn by_deep_path_with_a_wildcard(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |i| path(&format!("/api/:version/place-{i}/**"));
    decide(bencher, rules, rule, |i| sent(&format!("/api/v1/place-{i}/x/1.json"), "", ""));
}

/// `/place-7/**`, asked for a path that no rule has: the audience that takes all that is left.
#[divan::bench(args = RULES)]
fn by_path_to_the_last_audience(bencher: Bencher<'_, '_>, rules: usize) {
    decide(
        bencher,
        rules,
        |i| path(&format!("/place-{i}/**")),
        |i| sent(&format!("/other-{i}/x/1"), "", ""),
    );
}

/// `/place-7/**`, asked for a path that Rails would rewrite.
#[divan::bench(args = RULES)]
fn by_path_to_be_rewritten(bencher: Bencher<'_, '_>, rules: usize) {
    decide(
        bencher,
        rules,
        |i| path(&format!("/place-{i}/**")),
        |i| sent(&format!("//place-{i}/caf%c3%a9/"), "", ""),
    );
}

/// `place-7.example.com`
#[divan::bench(args = RULES)]
fn by_host(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |i| {
        let text = format!("place-{i}.example.com");
        Matcher::Host(vec![HostPattern::parse(&text).expect("a host")])
    };
    decide(bencher, rules, rule, |i| sent("/orders/1", &format!("place-{i}.example.com:443"), ""));
}

/// `X-App: app-7`
#[divan::bench(args = RULES)]
fn by_header(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |i| header(&format!("app-{i}"));
    decide(bencher, rules, rule, |i| sent("/orders/1", "", &format!("app-{i}")));
}

/// `X-App: ~^app-7$`: regular expressions are tried in turn, which is the price of them.
#[divan::bench(args = [10, 100, 1_000], sample_count = 5)]
fn by_header_with_regular_expressions(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |i| header(&format!("~^app-{i}$"));
    decide(bencher, rules, rule, |i| sent("/orders/1", "", &format!("app-{i}")));
}

fn decide(
    bencher: Bencher<'_, '_>,
    rules: usize,
    rule: impl Fn(usize) -> Matcher,
    request: impl Fn(usize) -> Sent,
) {
    let spec = |i| RuleSpec { label: "".into(), line: 1, all: vec![rule(i)], not: vec![] };
    let mut audiences: Vec<Vec<RuleSpec>> = (0..rules).map(|i| vec![spec(i)]).collect();
    audiences.push(vec![]);
    let classifier = Classifier::new(&audiences);
    let mut rng = fastrand::Rng::with_seed(7);
    let requests: Vec<Sent> = (0..REQUESTS).map(|_| request(rng.usize(0..rules))).collect();
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % REQUESTS);
        requests[turn.get()].decide(&classifier)
    });
}

// === impl Sent ===

impl Sent {
    fn decide(&self, classifier: &Classifier) -> Option<Choice> {
        let facts = Facts {
            method: &Method::GET,
            path: &self.path,
            query: None,
            host: &self.host,
            headers: &self.headers,
            client: Client::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            subject: None,
            identity: None,
            operation: None,
        };
        let path = PathView::of(black_box(facts.path)).expect("a path that is served");
        classifier.classify(&facts, &path)
    }
}

fn sent(path: &str, host: &str, app: &str) -> Sent {
    let mut headers = HeaderMap::new();
    for name in ["accept", "accept-encoding", "accept-language", "user-agent", "cookie"] {
        headers.insert(name, HeaderValue::from_static("something that a browser sends"));
    }
    if !app.is_empty() {
        headers.insert("x-app", HeaderValue::from_str(app).expect("a plain value"));
    }
    Sent { path: path.to_owned(), host: host.to_owned(), headers }
}

fn path(text: &str) -> Matcher {
    Matcher::Path(vec![PathPattern::parse(text).expect("a path")])
}

fn header(text: &str) -> Matcher {
    Matcher::Header(HeaderName::from_static("x-app"), vec![Text::parse(text).expect("a text")])
}
