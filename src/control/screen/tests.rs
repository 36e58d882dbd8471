//! Whole screens.

use super::*;
use crate::control::views::{ConfigView, FaultView, PromiseView, VerbView};

fn customer() -> AudienceView {
    AudienceView {
        name: "customer".into(),
        pool: "customer".into(),
        window_seconds: 60.0,
        rate: 231.4,
        p50_ms: Some(11.7),
        p99_ms: Some(182.0),
        promise: None,
        good: None,
        bad: Some(0.0),
        in_flight: 4,
        ..AudienceView::default()
    }
}

fn driver() -> AudienceView {
    AudienceView {
        name: "driver".into(),
        pool: "driver".into(),
        window_seconds: 60.0,
        rate: 48.25,
        p50_ms: Some(8.4),
        p99_ms: Some(1_251.0),
        promise: Some(PromiseView {
            availability: Some(0.999),
            within_ms: Some(300.0),
            target: Some(0.99),
        }),
        good: Some(0.9713),
        bad: Some(0.0041),
        in_flight: 5,
        tunnels: 0,
        faults: vec![
            FaultView { fault: "first_byte_timeout".into(), blame: "upstream".into(), count: 9 },
            FaultView { fault: "client_left".into(), blame: "client".into(), count: 3 },
        ],
        ..AudienceView::default()
    }
}

fn idle() -> AudienceView {
    AudienceView { name: "admin".into(), pool: "admin".into(), ..AudienceView::default() }
}

fn endpoint(address: &str) -> EndpointView {
    EndpointView { address: address.into(), state: "up".into(), capacity: 5, ..Default::default() }
}

fn pool(name: &str, endpoints: Vec<EndpointView>) -> PoolView {
    PoolView {
        name: name.into(),
        capacity: 5 * endpoints.len() as u64,
        capacity_is_per_process: true,
        endpoints,
        ..PoolView::default()
    }
}

fn view() -> StatusView {
    let down = EndpointView {
        state: "down".into(),
        last_error: Some("connection refused".into()),
        resolved_from: Some("web-3".into()),
        ..endpoint("10.0.0.3:3010")
    };
    StatusView {
        version: "0.1.0".into(),
        issuers: Vec::new(),
        tables: Vec::new(),
        uptime_seconds: 187_000,
        draining: false,
        config: ConfigView {
            path: Some("config/usher.yaml".into()),
            hash: "1f3a9c2e77b04d5599aa".into(),
            generation: 3,
            loaded_at: "2026-11-23T16:44:46Z".into(),
            ..ConfigView::default()
        },
        audiences: vec![idle(), customer(), driver()],
        pools: vec![
            pool("customer", vec![endpoint("127.0.0.1:3000"), endpoint("[::1]:3001")]),
            PoolView {
                in_flight: 5,
                orphans: 1,
                queue_length: 12,
                ..pool("driver", vec![endpoint("10.0.0.2:3010"), down])
            },
            pool("admin", vec![endpoint("127.0.0.1:3030")]),
        ],
        events: Vec::new(),
        verbs: Vec::new(),
        problems: vec!["capacity of pool admin is assumed, not configured".into()],
    }
}

#[test]
fn the_screen_shows_the_worst_first_and_what_is_wrong() {
    assert_eq!(
        screen(&view(), 80),
        "\
usher 0.1.0, up 2d 3h
configuration 1f3a9c2e77b0, generation 3, config/usher.yaml

AUDIENCE  REQ/S    P50    P99  IN TIME  PROMISE                BAD  BUSY
driver     48.2  8.4ms  1.25s   97.13%  99.9%, 99% in 300ms  0.41%     5
customer    231   12ms  182ms        -  -                    0.00%     4
admin       0.0      -      -        -  -                        -     0

POOL      SLOTS  QUEUE  ORPHANS  ENDPOINTS
driver     6/10     12        1  1 of 2 up
customer   0/10      0        0  2 of 2 up
admin       0/5      0        0  1 of 1 up
Slots are counted by this process alone.

driver 10.0.0.3:3010 (web-3) is down: connection refused
driver: 9 first_byte_timeout, 3 client_left in 60 s
capacity of pool admin is assumed, not configured
"
    );
}

#[test]
fn an_endpoint_that_is_ejected_says_why_and_one_that_stands_out_is_named() {
    let ejected = EndpointView {
        state: "ejected".into(),
        reason: Some("it refused a connection".into()),
        last_error: Some("cannot connect".into()),
        ..endpoint("10.0.0.3:3010")
    };
    let failing = |address, failed_lately| EndpointView {
        requests_lately: 200,
        failed_lately: Some(failed_lately),
        ..endpoint(address)
    };
    let mut odd = view();
    odd.pools = vec![
        pool("driver", vec![endpoint("10.0.0.2:3010"), ejected]),
        pool("customer", vec![failing("a:1", 0.0), failing("b:1", 0.125), failing("c:1", 0.005)]),
    ];
    let text = screen(&odd, 90);
    let line = "driver 10.0.0.3:3010 is ejected: it refused a connection\n";
    assert!(text.contains(line), "{text}");
    let line =
        "customer b:1 is the odd one out: 12.50% of its requests fail, 0.25% at the others\n";
    assert!(text.contains(line), "{text}");
    odd.pools[1].endpoints[0].failed_lately = Some(0.1);
    assert!(!screen(&odd, 90).contains("odd one out"), "two are bad: none stands out");
}

#[test]
fn what_operators_ordered_stands_above_all_that_is_wrong() {
    let verb = |verb: &str, kind: &str, target: &str| VerbView {
        verb: verb.into(),
        kind: kind.into(),
        target: target.into(),
        by: "alice (oncall)".into(),
        known: true,
        ..VerbView::default()
    };
    let mut view = view();
    view.pools[1].endpoints[0].state = "drained".into();
    view.verbs = vec![
        VerbView { seconds_left: Some(252), ..verb("pause", "audience", "customer") },
        VerbView { reason: Some("new disk".into()), ..verb("drain", "endpoint", "10.0.0.2:3010") },
    ];
    let text = screen(&view, 100);
    let expected = "\naudience customer is paused for 4m 12s more, by alice (oncall)\n\
        endpoint 10.0.0.2:3010 is drained until it is ended, by alice (oncall): new disk\n\
        driver 10.0.0.3:3010 (web-3) is down: connection refused\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("0 of 2 up") && !text.contains("driver 10.0.0.2:3010 is"), "{text}");
}

#[test]
fn fifty_audiences_with_long_names_fit_one_screen_as_well() {
    let mut crowd = view();
    let named = |n: usize| format!("a-very-long-name-of-an-audience-{n}-{}", "x".repeat(40));
    crowd.audiences = (0..50).map(|n| AudienceView { name: named(n), ..driver() }).collect();
    let broken = || EndpointView { state: "down".into(), ..endpoint("unix:/run/puma.sock") };
    crowd.pools = (0..50).map(|n| pool(&named(n), vec![broken(), broken()])).collect();
    crowd.problems = vec!["a problem that needs very many words ".repeat(9); 40];
    let text = screen(&crowd, 80);
    assert_eq!(text.lines().count(), LINES_MAX);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("and 43 more audiences") && text.contains("and 45 more pools"));
    let last = text.lines().last().expect("there are lines");
    assert!(last.ends_with("more: --format json has everything"), "{last}");
}

#[test]
fn a_narrow_screen_cuts_lines_and_none_wraps() {
    for width in [0, 40, 60, 79, 200] {
        let text = screen(&view(), width);
        assert!(text.lines().all(|line| line.chars().count() <= width.max(WIDTH_MIN)));
    }
}

#[test]
fn an_usher_that_has_just_begun_has_a_screen_too() {
    let text = screen(&StatusView { draining: true, ..StatusView::default() }, 80);
    assert!(text.starts_with("usher , up 0s, draining\n"), "{text}");
}

#[test]
fn tables_of_users_are_told_with_how_many_are_in_them() {
    let table = |name: &str, lines| crate::control::TableView { name: name.into(), lines };
    let view = StatusView { tables: vec![table("vip", 40), table("beta", 0)], ..view() };
    let shown = screen(&view, 100);
    assert!(shown.contains("\nusers in tables: vip 40, beta 0\n"), "{shown}");
}
