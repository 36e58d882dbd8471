//! Prometheus' own tool reads what usher renders. It comes with Debian's `prometheus`.

use std::{
    error::Error,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use http::StatusCode;
use usher::{
    fault::{Blame, Fault, Outcome},
    meters::{
        Arm, CertificateGauges, EndpointGauges, Gauges, ListenerGauges, Meters, PoolGauges,
        PromiseGauges, Settled, TunnelEnd, VerbGauges, Verdict,
    },
    name::Name,
};

#[test]
fn promtool_is_content_with_every_metric() -> Result<(), Box<dyn Error>> {
    let text = rendered()?;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().ok_or("a pipe")?.write_all(text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

/// A text in which every metric has a sample.
fn rendered() -> Result<String, Box<dyn Error>> {
    let meters = Meters::new(2, &[Duration::from_millis(333), Duration::from_secs(2)]);
    let name = Name::parse("customer")?;
    let exchange = meters.exchange(&name, &name, Arm::Stable, Fault::ALL);
    let promise = meters.promise(&name, &"availability".into(), Arm::Stable);
    promise.count(0, Verdict::Good);
    let pool = meters.pool(&name, Arm::Canary);
    let settled = Settled {
        status: Some(StatusCode::OK),
        outcome: Outcome::Served,
        fault: None,
        first_byte: Some(Duration::from_millis(12)),
        duration: Some(Duration::from_millis(13)),
    };
    exchange.open(0);
    exchange.waited(0, Duration::ZERO);
    exchange.settle(0, &settled);
    exchange.tunnel_opened(1);
    exchange.tunnel_closed(1, TunnelEnd::Idle, Blame::Client);
    let taken = Instant::now();
    pool.lease_taken(1, taken);
    let took = Duration::from_millis(9);
    pool.lease_returned(1, took, taken + took);
    Ok(meters.render(&Gauges {
        promises: vec![promised(name.clone())],
        pools: vec![PoolGauges {
            name,
            endpoints: EndpointGauges { up: 1, down: 0, ejected: 0, drained: 0 },
            capacity: 5,
            in_flight: 1,
            orphans: 0,
            queue_length: 0,
            event_streams: 0,
            encrypted: true,
        }],
        verbs: vec![paused()],
        listeners: vec![ListenerGauges {
            listener: "[::]:8443".into(),
            connections: 1,
            handshakes: vec![("full", 1)],
            introductions: vec![("client", 1)],
        }],
        database: Some(([("now", 20), ("scaled_out", 50), ("deploying", 60)], 400)),
        certificates: vec![CertificateGauges {
            listener: "[::]:8443".into(),
            name: "*.shop.example".into(),
            expires: 1_800_000_000,
        }],
        config_hash: "1f3a".into(),
        config_generation: 1,
        ..Gauges::default()
    }))
}

fn paused() -> VerbGauges {
    VerbGauges {
        verb: "pause".into(),
        kind: "audience".into(),
        target: "driver".into(),
        waiting: Some(34),
    }
}

fn promised(audience: Name) -> PromiseGauges {
    PromiseGauges {
        audience,
        slo: "availability".into(),
        target: 0.999,
        burn: vec![("5m".into(), 1.5)],
        left: Some(-0.25),
        exhausted_in: Some(0.0),
    }
}
