//! What the files hold; whether Prometheus agrees is asked in `tests/slo_rules.rs`.

use std::time::Duration;

use super::*;
use crate::{
    name::Name,
    slo::{Aim, On, PATIENCE, StatusSet},
    units::Percent,
};

fn promise(audience: &str, aim: Aim, target: &str, days: u64) -> Promise {
    Promise {
        audience: Name::parse(audience).expect("a name"),
        objective: 0,
        label: aim.label(None),
        aim,
        target: Percent::parse(target).expect("a share"),
        window: Duration::from_secs(days * 86_400),
        sla: None,
        bad: StatusSet::default(),
    }
}

pub(crate) fn promises() -> Vec<Promise> {
    let available = Aim::Availability { patience: PATIENCE };
    let fast = Aim::Latency { within: Duration::from_millis(300), on: On::FirstByte };
    vec![
        promise("driver", available, "99.9%", 28),
        promise("driver", fast, "95%", 7),
        promise("back_office", available, "40%", 30),
    ]
}

#[test]
fn rules_sum_before_they_divide_and_have_no_noise_in_their_numbers() {
    let text = prometheus(&promises(), &Options::default());
    for line in [
        "sum by (audience, slo) (increase(usher_slo_events_total{result=\"bad\"}[5m]))",
        "sum_over_time(usher:slo_bad:increase5m[28d:5m])",
        "avg_over_time(usher:slo_total:increase5m[7d:5m]) * 2016",
        "vector(0.999)",
        "1 - usher:slo_bad:increase_28d{audience=\"driver\",slo=\"availability\"}",
        "record: slo:sli_error:ratio_rate28d",
        "sloth_id: \"usher-driver-availability\"",
        "# back_office availability: no alert on its burn rate. With a target of 40% a full outage",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("999999") && !text.contains("00000001"), "{text}");
    assert!(!text.contains("absent(usher:") && !text.contains("absent(usher_slo"), "{text}");
}

#[test]
fn a_selector_stands_in_every_series_of_ushers() {
    let options = Options { selector: "job=\"edge\"".into(), ..Options::default() };
    let text = prometheus(&promises(), &options);
    for expression in text.lines().filter(|line| line.contains("usher_") && line.contains('(')) {
        let name = expression.contains("usher_config_info`") || expression.contains("record:");
        assert!(name || expression.contains("job=\"edge\""), "{expression}");
    }
    assert!(openslo(&promises(), &options).contains("job=\\\"edge\\\""));
}

#[test]
fn classic_alerts_compare_ratios() {
    let options = Options { alerting: Alerting::Classic, ..Options::default() };
    let text = prometheus(&promises(), &options);
    let one = "usher:slo_burn_rate:ratio1h{audience=\"driver\",slo=\"availability\"} > 14.4";
    assert!(text.contains(one) && !text.contains("and usher:slo_bad:increase1h"), "{text}");
}

#[test]
fn other_tools_get_one_service_for_each_audience() {
    let text = openslo(&promises(), &Options::default());
    assert_eq!(text.matches("kind: Service").count(), 2);
    assert_eq!(text.matches("kind: SLO").count(), 3);
    assert!(text.contains("name: usher-back-office-availability"), "{text}");
    assert!(text.contains("duration: 7d") && text.contains("target: 0.95\n"));
    let text = sloth(&promises(), &Options::default());
    assert_eq!((text.matches("service:").count(), text.matches("  - name:").count()), (2, 3));
    assert!(text.contains("[{{.window}}]") && text.contains("objective: 99.9\n"), "{text}");
}

#[test]
fn without_promises_there_are_alerts_about_usher_itself() {
    let text = prometheus(&[], &Options::default());
    assert!(text.contains("UsherAbsent") && !text.contains("usher-slo"));
}
