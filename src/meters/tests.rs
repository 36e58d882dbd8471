//! The meters as a whole: what is counted, and what is rendered of it.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;

use super::*;
use crate::fault::{Blame, Outcome};

const MS: Duration = Duration::from_millis(1);

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn served(first_byte: Duration) -> Settled {
    Settled {
        status: Some(StatusCode::OK),
        outcome: Outcome::Served,
        fault: None,
        first_byte: Some(first_byte),
        duration: Some(first_byte + MS),
    }
}

fn faulted(fault: Fault) -> Settled {
    let status = Some(fault.status());
    let outcome = fault.outcome();
    let fault = Some(fault);
    Settled { status, outcome, fault, first_byte: None, duration: None }
}

/// Every sample by its name and labels.
fn samples(meters: &Meters) -> BTreeMap<String, f64> {
    let text = meters.render(&Gauges::default());
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = samples.map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        (series.to_owned(), value.parse().expect("a number"))
    });
    let found: Vec<(String, f64)> = pairs.collect();
    let by_series: BTreeMap<_, _> = found.iter().cloned().collect();
    assert_eq!(by_series.len(), found.len(), "a series stands twice");
    by_series
}

#[test]
fn what_can_happen_is_there_at_zero_before_it_happens() {
    let meters = Meters::new(2, &[]);
    let customer = name("customer");
    let possible = [Fault::NoEndpoint, Fault::TotalTimeout];
    let _meter = meters.exchange(&customer, &customer, Arm::Stable, &possible);
    let samples = samples(&meters);
    let place = r#"audience="customer",pool="customer""#;
    for series in [
        format!(r#"usher_requests_total{{{place},arm="stable",status="200",outcome="served"}}"#),
        format!(r#"usher_faults_total{{{place},fault="no_endpoint",blame="usher"}}"#),
        format!(r#"usher_faults_total{{{place},fault="total_timeout",blame="upstream"}}"#),
        format!("usher_queue_wait_seconds_count{{{place}}}"),
        r#"usher_first_byte_seconds_bucket{audience="customer",arm="stable",le="+Inf"}"#.into(),
        r#"usher_requests_in_flight{audience="customer"}"#.into(),
        r#"usher_tunnels{audience="customer"}"#.into(),
    ] {
        assert_eq!(samples.get(&series), Some(&0.0), "{series}");
    }
    assert!(!samples.keys().any(|series| series.contains("client_left")));
}

#[test]
fn the_same_key_gives_the_same_meter_and_every_worker_adds_to_it() {
    let meters = Meters::new(2, &[]);
    let (driver, pool) = (name("driver"), name("drivers"));
    let first = meters.exchange(&driver, &pool, Arm::Stable, &[]);
    assert!(Arc::ptr_eq(&first, &meters.exchange(&driver, &pool, Arm::Stable, &[])));
    for worker in 0..=2 {
        first.open(worker);
        first.open(worker);
        first.waited(worker, Duration::ZERO);
        first.settle(worker, &served(300 * MS));
    }
    first.settle(0, &faulted(Fault::ClientLeft));
    let samples = samples(&meters);
    let get = |series: &str| samples[series];
    let requests = r#"usher_requests_total{audience="driver",pool="drivers",arm="stable","#;
    assert_eq!(get(&format!(r#"{requests}status="200",outcome="served"}}"#)), 3.0);
    assert_eq!(get(&format!(r#"{requests}status="none",outcome="abandoned"}}"#)), 1.0);
    assert_eq!(get(r#"usher_requests_in_flight{audience="driver"}"#), 2.0);
    let bucket = |le: &str| {
        get(&format!(
            r#"usher_first_byte_seconds_bucket{{audience="driver",arm="stable",le="{le}"}}"#
        ))
    };
    assert_eq!([bucket("0.2"), bucket("0.3"), bucket("+Inf")], [0.0, 3.0, 3.0]);
    assert_eq!(get(r#"usher_request_duration_seconds_sum{audience="driver",arm="stable"}"#), 0.903);
    assert_eq!(get(r#"usher_queue_wait_seconds_count{audience="driver",pool="drivers"}"#), 3.0);
}

#[test]
fn an_audience_that_moves_to_another_pool_keeps_its_histograms() {
    let meters = Meters::new(1, &[]);
    let driver = name("driver");
    let before = meters.exchange(&driver, &name("old"), Arm::Stable, &[]);
    before.open(0);
    before.settle(0, &served(MS));
    let after = meters.exchange(&driver, &name("new"), Arm::Stable, &[]);
    drop(before);
    after.open(0);
    after.settle(0, &served(MS));
    let samples = samples(&meters);
    assert_eq!(samples[r#"usher_first_byte_seconds_count{audience="driver",arm="stable"}"#], 2.0);
    assert!(!samples.keys().any(|series| series.contains(r#"pool="old""#)));
}

#[test]
fn what_was_removed_is_rendered_until_its_last_exchange_has_settled() {
    let meters = Meters::new(1, &[]);
    let driver = name("driver");
    let of_snapshot = meters.exchange(&driver, &driver, Arm::Stable, &[]);
    let of_exchange = Arc::clone(&of_snapshot);
    of_exchange.open(0);
    drop(of_snapshot);
    assert_eq!(samples(&meters)[r#"usher_requests_in_flight{audience="driver"}"#], 1.0);
    of_exchange.settle(0, &served(MS));
    drop(of_exchange);
    assert!(!samples(&meters).keys().any(|series| series.contains("driver")));
    assert!(meters.audiences().is_empty());
}

#[test]
fn tunnels_are_counted_while_open_and_by_how_they_end() {
    let meters = Meters::new(1, &[]);
    let customer = name("customer");
    let meter = meters.exchange(&customer, &customer, Arm::Stable, &[]);
    meter.tunnel_opened(0);
    meter.tunnel_opened(1);
    meter.tunnel_closed(1, TunnelEnd::Drained, Blame::Usher);
    let samples = samples(&meters);
    assert_eq!(samples[r#"usher_tunnels{audience="customer"}"#], 1.0);
    let closed: Vec<_> = samples.keys().filter(|key| key.contains("tunnels_closed")).collect();
    let drained =
        r#"usher_tunnels_closed_total{audience="customer",reason="drained",blame="usher"}"#;
    assert_eq!(closed, [drained]);
}

#[test]
fn every_pair_of_reason_and_blame_has_a_place_of_its_own() {
    let meters = Meters::new(1, &[]);
    let customer = name("customer");
    let meter = meters.exchange(&customer, &customer, Arm::Stable, &[]);
    let blames = [Blame::Client, Blame::Usher, Blame::Upstream];
    let pairs = || TunnelEnd::ALL.into_iter().flat_map(|end| blames.map(|blame| (end, blame)));
    for (times, (end, blame)) in pairs().enumerate() {
        for _ in 0..=times {
            meter.tunnel_opened(0);
            meter.tunnel_closed(0, end, blame);
        }
    }
    let samples = samples(&meters);
    for (times, (end, blame)) in pairs().enumerate() {
        let labels = format!(r#"reason="{}",blame="{}""#, end.name(), blame.name());
        let series = format!(r#"usher_tunnels_closed_total{{audience="customer",{labels}}}"#);
        assert_eq!(samples[&series], (times + 1) as f64, "{series}");
    }
}

#[test]
fn nothing_a_client_chooses_adds_to_what_the_configuration_allows() {
    let meters = Meters::new(1, &[]);
    let customer = name("customer");
    let meter = meters.exchange(&customer, &customer, Arm::Stable, Fault::ALL);
    let before = samples(&meters).len();
    for request in 0..10_000_u16 {
        // The target, the method and the fields of a request never reach a meter; the monolith's
        // status does, and a client may make it any.
        let status = StatusCode::from_u16(100 + request % 900).ok();
        for outcome in Outcome::ALL {
            meter.open(0);
            let fault = Some(Fault::ALL[usize::from(request) % Fault::ALL.len()]);
            meter.settle(0, &Settled { status, outcome, fault, ..served(u32::from(request) * MS) });
        }
    }
    let after = samples(&meters);
    let labels = status::KNOWN.len() + 2;
    assert!(after.len() - before < labels * Outcome::ALL.len());
    let statuses: BTreeSet<&str> =
        after.keys().filter_map(|key| key.split_once("status=\"")?.1.split('"').next()).collect();
    assert!(statuses.len() <= labels && statuses.contains("other"));
}

/// What is read of a pool in which everything happens.
fn busy(name: Name) -> PoolGauges {
    PoolGauges {
        name,
        endpoints: EndpointGauges { up: 2, down: 1, ejected: 1, drained: 1 },
        capacity: 15,
        in_flight: 7,
        orphans: 1,
        queue_length: 3,
        event_streams: 2,
        encrypted: false,
    }
}

#[test]
fn what_is_read_at_a_scrape_is_rendered_beside_what_is_counted() {
    let meters = Meters::new(1, &[]);
    let driver = name("driver");
    let pool = meters.pool(&driver, Arm::Stable);
    pool.retried(0, Retry::Replayed);
    let gauges = Gauges {
        pools: vec![busy(driver)],
        listeners: vec![ListenerGauges {
            listener: "0.0.0.0:8080".into(),
            connections: 41,
            handshakes: vec![("full", 3)],
            introductions: vec![("client", 3)],
        }],
        certificates: vec![CertificateGauges {
            listener: "0.0.0.0:8443".into(),
            name: "shop.example".into(),
            expires: 1_800_000_000,
        }],
        verbs: vec![VerbGauges {
            verb: "pause".into(),
            kind: "audience".into(),
            target: "driver".into(),
            waiting: Some(34),
        }],
        config_hash: "1f3a".into(),
        config_generation: 3,
        log_lines_dropped: 12,
        ..Gauges::default()
    };
    let text = meters.render(&gauges);
    for line in [
        r#"usher_pool_endpoints{pool="driver",state="up"} 2"#,
        r#"usher_pool_endpoints{pool="driver",state="down"} 1"#,
        r#"usher_pool_endpoints{pool="driver",state="ejected"} 1"#,
        r#"usher_pool_endpoints{pool="driver",state="drained"} 1"#,
        r#"usher_pool_capacity{pool="driver"} 15"#,
        r#"usher_pool_in_flight{pool="driver"} 7"#,
        r#"usher_pool_demand{pool="driver"} 11"#,
        r#"usher_verbs_in_force{verb="pause",kind="audience",target="driver"} 1"#,
        r#"usher_paused_requests{kind="audience",target="driver"} 34"#,
        r#"usher_pool_event_streams{pool="driver"} 2"#,
        r#"usher_retries_total{pool="driver",reason="replayed"} 1"#,
        r#"usher_retries_total{pool="driver",reason="connect_failed"} 0"#,
        r#"usher_connections{listener="0.0.0.0:8080"} 41"#,
        r#"usher_config_info{hash="1f3a"} 1"#,
        "usher_config_generation 3",
        "usher_log_lines_dropped_total 12",
        concat!(r#"usher_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn handshakes_with_endpoints_are_shown_of_pools_that_shake_hands() {
    let meters = Meters::new(1, &[]);
    let pool = |called, encrypted| PoolGauges { encrypted, ..busy(name(called)) };
    let held = [meters.pool(&name("driver"), Arm::Stable), meters.pool(&name("web"), Arm::Stable)];
    held[0].shook_hands(0, SecretEnd::Full);
    let text = meters.render(&Gauges {
        pools: vec![pool("driver", true), pool("web", false)],
        shown: vec![(name("driver"), "usher.internal".into(), 1_900_000_000)],
        ..Gauges::default()
    });
    let shown: Vec<_> = text.lines().filter(|it| it.starts_with("usher_upstream_tls_")).collect();
    let expected = [
        "handshakes_total{pool=\"driver\",result=\"full\"} 1",
        "handshakes_total{pool=\"driver\",result=\"resumed\"} 0",
        "handshakes_total{pool=\"driver\",result=\"failed\"} 0",
        "certificate_expires_timestamp_seconds{pool=\"driver\",certificate=\"usher.internal\"} \
         1900000000",
    ];
    assert_eq!(shown, expected.map(|line| format!("usher_upstream_tls_{line}")));
}

#[test]
fn bodies_that_are_kept_are_shown_by_where_they_are() {
    let buffers = BufferGauges {
        memory: 70_000,
        memory_max: 1 << 30,
        disk: 5,
        shortages: vec![("request", 0), ("answer", 4)],
    };
    let text = Meters::new(1, &[]).render(&Gauges { buffers, ..Gauges::default() });
    for line in [
        r#"usher_buffer_bytes{place="memory"} 70000"#,
        r#"usher_buffer_bytes{place="disk"} 5"#,
        "usher_buffer_memory_max_bytes 1073741824",
        r#"usher_buffer_shortages_total{what="answer"} 4"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_family_is_rendered_once_with_its_type_and_help() {
    let meters = Meters::new(1, &[]);
    meters.upkeep();
    let text = meters.render(&Gauges::default());
    for family in names::ALL {
        let head = format!("# TYPE {} {}", family.name, family.kind.name());
        assert_eq!(text.lines().filter(|line| *line == head).count(), 1, "{head}");
        let help = format!("# HELP {} {}", family.name, family.help);
        assert_eq!(text.lines().filter(|line| *line == help).count(), 1, "{help}");
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(types, names::ALL.len(), "a family is rendered that has no name in `names`");
}

#[test]
fn rendering_while_workers_count_loses_nothing() {
    const EACH: u64 = 20_000;
    let meters = Meters::new(4, &[]);
    let customer = name("customer");
    let meter = meters.exchange(&customer, &customer, Arm::Stable, &[]);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let meter = &meter;
                scope.spawn(move || {
                    for _ in 0..EACH {
                        meter.open(worker);
                        meter.settle(worker, &served(MS));
                    }
                })
            })
            .collect();
        let mut before = 0;
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let now = meters.audiences()[0].requests();
            assert!(now >= before);
            before = now;
        }
    });
    let reading = &meters.audiences()[0];
    assert_eq!((reading.requests(), reading.in_flight), (4 * EACH, 0));
    assert_eq!(reading.first_byte.count(), 4 * EACH);
}

#[test]
fn an_audience_is_read_over_its_pools_and_arms() {
    let meters = Meters::new(1, &[]);
    let (driver, other) = (name("driver"), name("other"));
    let held = [
        meters.exchange(&driver, &driver, Arm::Stable, &[]),
        meters.exchange(&driver, &driver, Arm::Canary, &[]),
        meters.exchange(&driver, &other, Arm::Stable, &[]),
        meters.exchange(&other, &other, Arm::Stable, &[]),
    ];
    for meter in &held {
        meter.open(0);
        meter.settle(0, &served(MS));
        meter.open(0);
        meter.settle(0, &faulted(Fault::UpstreamBroke));
        meter.open(0);
        meter.settle(0, &faulted(Fault::NotAdmitted));
        meter.open(0);
    }
    let readings = meters.audiences();
    let names: Vec<&str> = readings.iter().map(|reading| reading.name.as_str()).collect();
    assert_eq!(names, ["driver", "other"]);
    let driver = &readings[0];
    assert_eq!((driver.requests(), driver.bad, driver.in_flight), (9, 3, 3));
    assert_eq!(driver.ended(Outcome::Refused), 3);
    assert_eq!(driver.faults[&Fault::UpstreamBroke], 3);
    assert_eq!(driver.first_byte.count(), 3);
}

#[test]
fn what_was_never_decided_shows_its_refusals_and_nothing_that_cannot_be() {
    let meters = Meters::new(1, &[]);
    let none = Name::none();
    let meter = meters.exchange(&none, &none, Arm::Stable, &[Fault::BadHost]);
    meter.open(0);
    meter.settle(0, &faulted(Fault::BadHost));
    let samples = samples(&meters);
    let shown: Vec<&str> = samples
        .iter()
        .filter(|(series, _)| series.contains(r#"audience="none""#))
        .map(|(series, _)| series.split('{').next().unwrap_or_default())
        .collect();
    let expected = [
        "usher_faults_total",
        "usher_request_fields_dropped_total",
        "usher_requests_in_flight",
        "usher_requests_total",
        "usher_tunnels",
    ];
    assert_eq!(shown, expected);
}
