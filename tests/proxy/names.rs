//! Endpoints that are found by name: what a name server says is followed, and nobody is lost on the
//! way.

mod pools;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use usher::control::{EndpointView, NameView, StatusView};

use crate::{
    GET,
    support::{
        client::Client,
        names::{A, AAAA, Data, Names, Record, SRV, Saying, address},
        origin::{Origin, PATIENCE, ok},
        usher::{Usher, one_pool},
    },
};

const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;
const DOWN: &str = r#"usher_pool_endpoints{pool="rails",state="down"}"#;

/// A pool whose endpoints are `endpoint`, with a resolver that asks `names` very often.
fn asking(names: &Names, endpoint: &str, more: &str) -> String {
    let endpoint = endpoint.to_owned();
    let server = names.address();
    one_pool(
        &[endpoint],
        &format!(
            "{more}resolver: {{ servers: [\"{server}\"], timeout: 5s, attempts: 1, search: [], \
             ttl: {{ min: 10ms, max: 50ms }} }}\n"
        ),
    )
}

fn web(port: u16) -> String {
    format!("{{ dns: {{ name: web.shop, port: {port} }} }}")
}

fn ip(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

fn look_ups(result: &str) -> String {
    format!(r#"usher_dns_lookups_total{{name="web.shop",source="dns",result="{result}"}}"#)
}

fn name(status: &StatusView) -> &NameView {
    &status.pools[0].names[0]
}

/// Origins that have one port and answer with the last byte of their address.
async fn serving(count: u8) -> u16 {
    let origins = Origin::start_alike(count).await;
    let port = origins[0].address().port();
    for (origin, last) in origins.into_iter().zip(1..) {
        let last: u8 = last;
        origin.serve(move |_| ok(&last.to_string()));
    }
    port
}

/// Waits until the endpoints are at `addresses`.
async fn stands_for(usher: &Usher, addresses: &[String]) {
    let moved = async {
        loop {
            let status = usher.remote.status();
            let endpoints = status.pools[0].endpoints.iter();
            let ip = |it: &EndpointView| Some(it.address.parse::<SocketAddr>().ok()?.ip());
            if endpoints.filter_map(ip).map(|ip| ip.to_string()).eq(addresses.iter().cloned()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within(moved).await;
}

async fn within(moved: impl Future<Output = ()>) {
    #[expect(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]
    let moved = tokio::time::timeout(PATIENCE, moved);
    moved.await.expect("the name is followed in time");
}

/// Asks until every one of `wanted` has answered, and nobody else did.
async fn answered_by(client: &mut Client, wanted: &[&str]) {
    let mut missing: Vec<&str> = wanted.to_vec();
    while !missing.is_empty() {
        let answer = client.get("/").await;
        assert!(wanted.contains(&answer.text()), "{answer:?}");
        missing.retain(|it| *it != answer.text());
    }
}

#[tokio::test]
async fn a_name_is_as_many_endpoints_as_it_has_addresses_and_follows_them() {
    let (names, port) = (Names::start().await, serving(3).await);
    names.tell("web.shop", &[ip(1), ip(2)]);
    let usher = Usher::start(&asking(&names, &web(port), "")).await;
    let mut client = Client::connect(usher.address()).await;
    usher.reaches(UP, 2.0).await;
    answered_by(&mut client, &["1", "2"]).await;
    names.tell("web.shop", &[ip(2), ip(3)]);
    stands_for(&usher, &["127.0.0.2".to_owned(), "127.0.0.3".to_owned()]).await;
    answered_by(&mut client, &["2", "3"]).await;
    usher.reaches(r#"usher_endpoint_events_total{pool="rails",event="removed"}"#, 1.0).await;
    let status = usher.remote.status();
    let view = name(&status);
    assert_eq!((view.state.as_str(), view.source.as_str()), ("found", "dns"));
    assert_eq!(view.addresses, ["127.0.0.2", "127.0.0.3"]);
    let written = format!("dns:web.shop:{port}");
    assert_eq!(status.pools[0].endpoints[0].resolved_from.as_deref(), Some(&*written));
    let gone = status.events.iter().find(|event| event.event == "removed").expect("it is told");
    assert_eq!(gone.endpoint, format!("127.0.0.1:{port}"));
    let samples = usher.stop().await;
    assert_eq!(samples.get(r#"usher_dns_addresses{name="web.shop",source="dns"}"#), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn whatever_goes_wrong_with_a_name_its_last_addresses_stay_in_use() {
    let (names, port) = (Names::start().await, serving(2).await);
    names.tell("web.shop", &[ip(1), ip(2)]);
    let config = asking(&names, &web(port), "").replace("timeout: 5s", "timeout: 50ms");
    let usher = Usher::start(&config).await;
    let mut client = Client::connect(usher.address()).await;
    usher.reaches(UP, 2.0).await;
    let wrongs = [
        (Saying::Code(2), "failed", "SERVFAIL"),
        (Saying::Code(5), "failed", "REFUSED"),
        (Saying::Code(3), "nothing", "no such name"),
        (Saying::Records(Vec::new()), "nothing", "no address"),
        (Saying::Garbage, "failed", "no DNS"),
        (Saying::Silence, "failed", "in time"),
    ];
    for (wrong, counted, told) in wrongs {
        names.say("web.shop", A, wrong.clone());
        let before = usher.samples().get(&look_ups(counted));
        let (mut failed, mut patience) = (0.0, String::new());
        while failed < before + 2.0 || !patience.contains(told) {
            answered_by(&mut client, &["1", "2"]).await;
            failed = usher.samples().get(&look_ups(counted));
            patience = name(&usher.remote.status()).trouble.clone().unwrap_or_default();
        }
        let status = usher.remote.status();
        let view = name(&status);
        assert_eq!((view.state.as_str(), view.addresses.len()), ("kept", 2), "{wrong:?}");
        assert!(view.since.is_some());
        assert_eq!(usher.samples().get(UP), 2.0);
        let failing = r#"usher_dns_failing_seconds{name="web.shop",source="dns"}"#;
        assert!(usher.samples().get(failing) > 0.0);
    }
    names.tell("web.shop", &[ip(2)]);
    usher.reaches(UP, 1.0).await;
    answered_by(&mut client, &["2"]).await;
    // A single answer may be late on a busy machine.
    while name(&usher.remote.status()).trouble.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(usher.stop().await.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn what_an_endpoint_is_at_when_its_name_lets_go_of_it_is_ended_in_peace() {
    let names = Names::start().await;
    let mut origins = Origin::start_alike(2).await;
    let (two, one) = (origins.pop().expect("two"), origins.pop().expect("one"));
    names.tell("web.shop", &[ip(1)]);
    let usher = Usher::start(&asking(&names, &web(one.address().port()), "")).await;
    let mut first = Client::connect(usher.address()).await;
    first.send(GET).await;
    let mut line = one.accept().await;
    line.read().await;
    names.tell("web.shop", &[ip(2)]);
    two.serve(|_| ok("two"));
    let mut second = Client::connect(usher.address()).await;
    stands_for(&usher, &["127.0.0.2".to_owned()]).await;
    assert_eq!(second.get("/").await.text(), "two");
    line.write(ok("one")).await;
    assert_eq!(first.answer().await.text(), "one");
    assert_eq!(first.get("/").await.text(), "two", "it is not asked again");
    assert_eq!(usher.stop().await.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn under_load_a_name_that_changes_again_and_again_loses_no_request() {
    let (names, port) = (Names::start().await, serving(4).await);
    names.tell("web.shop", &[ip(1), ip(2)]);
    let usher = Usher::start(&asking(&names, &web(port), "    slow_start: 100ms\n")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let ask = |_| {
        let (stop, address) = (stop.clone(), usher.address());
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.get("/").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                asked += 1;
            }
            asked
        })
    };
    let visitors: Vec<_> = (0..6).map(ask).collect();
    for round in 1..=24u8 {
        // Each time one goes and another comes.
        let mut addresses = [ip(1 + round % 4), ip(1 + (round + 1) % 4)];
        addresses.sort();
        names.tell("web.shop", &addresses);
        stands_for(&usher, &addresses.map(|ip| ip.to_string())).await;
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.await.expect("every answer is a good one") > 0);
    }
    assert_eq!(usher.stop().await.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn a_name_that_is_not_there_at_the_start_is_a_down_endpoint_until_it_is() {
    let (names, port) = (Names::start().await, serving(1).await);
    let usher = Usher::start(&asking(&names, &web(port), "")).await;
    let mut client = Client::connect(usher.address()).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("no_endpoint")));
    usher.reaches(DOWN, 1.0).await;
    assert_eq!(name(&usher.remote.status()).state, "unknown");
    names.tell("web.shop", &[ip(1)]);
    usher.reaches(UP, 1.0).await;
    assert_eq!(usher.samples().get(DOWN), 0.0);
    answered_by(&mut client, &["1"]).await;
    usher.stop().await;
}

#[tokio::test]
async fn a_reload_waits_for_no_name_server_for_long() {
    let (names, origin) = (Names::start().await, Origin::start().await);
    names.say("web.shop", A, Saying::Silence);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let patient =
        |endpoint: &str| asking(&names, endpoint, "").replace("timeout: 5s", "timeout: 30s");
    std::fs::write(&path, patient(&origin.endpoint())).expect("it can be written");
    origin.serve(|_| ok("here"));
    let usher = Usher::start_at(&path).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "here");
    std::fs::write(&path, patient(&web(1))).expect("it can be written");
    // By itself within a second, and after five more without the name.
    usher.reaches("usher_config_generation", 2.0).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("no_endpoint")));
    usher.stop().await;
}

#[tokio::test]
async fn a_service_tells_ports_and_weights_and_a_target_that_has_gone_takes_none_along() {
    let (names, one, two) = (Names::start().await, Origin::start().await, Origin::start().await);
    let service = |priority, weight, port, target: &str| Record {
        ttl: 0,
        data: Data::Service(priority, weight, port, target.to_owned()),
    };
    let (first, second) = (one.address().port(), two.address().port());
    let targets = vec![
        service(0, 10, first, "web-0.shop"),
        service(0, 30, second, "web-1.shop"),
        service(0, 10, 1, "gone.shop"),
        service(1, 10, 1, "backup.shop"),
    ];
    names.say("_http._tcp.web.shop", SRV, Saying::Records(targets));
    for host in ["web-0.shop", "web-1.shop", "backup.shop"] {
        names.tell(host, &[ip(1)]);
    }
    one.serve(|_| ok("one"));
    two.serve(|_| ok("two"));
    let endpoint = "{ dns: { srv: _http._tcp.web.shop } }";
    let usher = Usher::start(&asking(&names, endpoint, "    balance: round_robin\n")).await;
    usher.reaches(UP, 2.0).await;
    let mut client = Client::connect(usher.address()).await;
    let mut by_two = 0;
    for _ in 0..40 {
        by_two += usize::from(client.get("/").await.text() == "two");
    }
    assert_eq!(by_two, 30, "three times as often");
    let status = usher.remote.status();
    let mut addresses = [first, second].map(|port| format!("127.0.0.1:{port}"));
    addresses.sort();
    let mut shown = name(&status).addresses.clone();
    shown.sort();
    assert_eq!((name(&status).source.as_str(), shown), ("srv", addresses.to_vec()));
    assert_eq!(names.asked("backup.shop", A), 0);
    usher.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_comes_over_tcp_and_lies_are_not_listened_to() {
    let (names, port) = (Names::start().await, serving(1).await);
    names.say("web.shop", A, Saying::AmongLies(vec![address(ip(1))]));
    let usher = Usher::start(&asking(&names, &web(port), "")).await;
    usher.reaches(UP, 1.0).await;
    assert_eq!(name(&usher.remote.status()).addresses, ["127.0.0.1"]);
    let many = (1..=200).map(|last| address(ip(last))).collect();
    names.say("web.shop", A, Saying::TooLarge(many));
    usher.reaches(UP, 200.0).await;
    usher.stop().await;
}

#[tokio::test]
async fn an_alias_is_followed_and_ipv6_is_asked_for_where_there_is_no_ipv4() {
    let (names, port) = (Names::start().await, serving(1).await);
    let alias = |ip| Record { ttl: 0, data: Data::Alias("elsewhere.shop".into(), vec![ip]) };
    names.say("web.shop", A, Saying::Records(vec![alias(ip(1))]));
    let v6 = "::1".parse().expect("an address");
    names.say("web.shop", AAAA, Saying::Records(vec![address(v6)]));
    let usher = Usher::start(&asking(&names, &web(port), "")).await;
    usher.reaches(UP, 1.0).await;
    assert_eq!(name(&usher.remote.status()).addresses, ["127.0.0.1"]);
    assert_eq!(names.asked("web.shop", AAAA), 0, "a Pod with both addresses is one Puma");
    names.say("web.shop", A, Saying::Records(Vec::new()));
    stands_for(&usher, &["::1".to_owned()]).await;
    usher.stop().await;
}

#[tokio::test]
async fn names_are_searched_for_and_a_failure_ends_the_search() {
    let (names, port) = (Names::start().await, serving(2).await);
    names.tell("web.ns.svc", &[ip(1)]);
    names.tell("web", &[ip(2)]);
    let endpoint = format!("{{ dns: {{ name: web, port: {port} }} }}");
    let config = asking(&names, &endpoint, "")
        .replace("search: []", "search: [other.svc, ns.svc, svc], ndots: 5");
    let usher = Usher::start(&config).await;
    usher.reaches(UP, 1.0).await;
    assert_eq!(name(&usher.remote.status()).addresses, ["127.0.0.1"]);
    assert_eq!((names.asked("web.svc", A), names.asked("web", A)), (0, 0), "it was found before");
    names.say("web.ns.svc", A, Saying::Code(2));
    let failed = r#"usher_dns_lookups_total{name="web",source="dns",result="failed"}"#;
    usher.reaches(failed, 2.0).await;
    assert_eq!(names.asked("web", A), 0, "nobody is sent to what has the same name elsewhere");
    assert_eq!(name(&usher.remote.status()).addresses, ["127.0.0.1"]);
    usher.stop().await;
}

#[tokio::test]
async fn another_name_server_is_asked_when_one_is_silent_or_not_there() {
    let (silent, names, port) = (Names::start().await, Names::start().await, serving(1).await);
    silent.say("web.shop", A, Saying::Silence);
    names.tell("web.shop", &[ip(1)]);
    let servers = format!("[\"127.0.0.1:1\", \"{}\", \"{}\"]", silent.address(), names.address());
    let config = asking(&names, &web(port), "")
        .replace(&format!("[\"{}\"]", names.address()), &servers)
        .replace("timeout: 5s", "timeout: 500ms");
    let usher = Usher::start(&config).await;
    usher.reaches(UP, 1.0).await;
    while names.asked("web.shop", A) < 10 {
        tokio::task::yield_now().await;
    }
    // Once at first, and again only where the other one is late.
    let silent = silent.asked("web.shop", A);
    assert!((1..=5).contains(&silent), "who answered last is asked first: {silent}");
    usher.stop().await;
}

#[tokio::test]
async fn one_address_behind_a_name_is_said_to_be_odd_and_is_served() {
    let (names, port) = (Names::start().await, serving(1).await);
    names.tell("web.shop", &[ip(1)]);
    let usher = Usher::start(&asking(&names, &web(port), "")).await;
    usher.reaches(UP, 1.0).await;
    let status = usher.remote.status();
    let warning = name(&status).warning.as_deref().expect("it is odd");
    assert!(warning.contains("a ClusterIP? use a headless Service"), "{warning}");
    usher.stop().await;
}
