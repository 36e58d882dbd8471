//! When to wake somebody: alerts on how fast a budget goes, in several windows at once.
//!
//! Each alert looks at a long window, so that it means something, and at a twelfth of it, so that
//! it ends when the trouble does (SRE workbook, chapter 5, table 5-8). A factor is a burn rate. In
//! the count form it becomes a share of the whole budget: `factor × long ÷ window`. At average
//! traffic both say the same; at night one failure in ten requests is a burn of hundreds and a
//! share of almost nothing.

use std::time::Duration;

use super::Promise;
use crate::units::Percent;

/// A full outage burns at `1 ÷ budget`. An alert that asks for more than this share of that is
/// asked for less instead, or hardly anything would ever set it off.
const FEASIBLE: f64 = 0.8;

/// Below this the budget outlasts a full outage so long that no alert on it means anything.
const BURN_MIN: f64 = 2.0;

/// Fewer bad events than this are an accident: with one expected, ten come once in ten million.
pub const EVENTS_MIN: u32 = 10;

/// What an alert asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alert {
    /// Who is told.
    pub severity: Severity,
    /// The long window, by its name.
    pub long: &'static str,
    /// Its length, in hours.
    pub long_hours: f64,
    /// The short window, by its name.
    pub short: &'static str,
    /// The burn rate in both.
    pub factor: f64,
    /// The share of the whole budget that is gone in the long window then.
    pub share: f64,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// Somebody looks at it in the morning.
    Ticket,
}

/// What can be made of a promise.
#[derive(Clone, Debug, PartialEq)]
pub enum Alerts {
    /// These alerts, and how the fastest had to be rescaled, from and to which burn rate.
    Feasible {
        /// The fastest first.
        alerts: Vec<Alert>,
        /// From which burn rate to which.
        rescaled: Option<(f64, f64)>,
    },
    /// None: a full outage burns only so fast.
    Impossible {
        /// The burn rate of a full outage.
        outage: f64,
    },
}

/// Long window, its hours, short window, burn rate, and the largest share of a budget that may be
/// gone before it is told: for short windows, the burn rate alone would tell late.
const TABLE: [(Severity, &str, f64, &str, f64, f64); 4] = [
    (Severity::Page, "1h", 1.0, "5m", 14.4, 0.08),
    (Severity::Page, "6h", 6.0, "30m", 6.0, 0.125),
    (Severity::Ticket, "1d", 24.0, "2h", 3.0, 0.20),
    (Severity::Ticket, "3d", 72.0, "6h", 1.0, 0.42),
];

// === impl Alerts ===

impl Alerts {
    /// The alerts for `promise`.
    pub fn of(promise: &Promise) -> Self {
        Self::for_target(promise.target, promise.window)
    }

    /// The alerts for a promise of `target` over `window`.
    pub fn for_target(target: Percent, window: Duration) -> Self {
        let window_hours = window.as_secs_f64() / 3_600.0;
        let outage = 100.0 / (100.0 - target.percent()).max(1e-7);
        if outage < BURN_MIN {
            return Alerts::Impossible { outage };
        }
        let mut rescaled = None;
        let alert = |(severity, long, long_hours, short, usual, share_max)| {
            let capped = f64::min(usual, share_max * window_hours / long_hours);
            let factor = capped.min(outage * FEASIBLE);
            if factor < capped && rescaled.is_none() {
                rescaled = Some((capped, factor));
            }
            let share = factor * long_hours / window_hours;
            Alert { severity, long, long_hours, short, factor, share }
        };
        let alerts = TABLE.map(alert).to_vec();
        Alerts::Feasible { alerts, rescaled }
    }
}

impl Alerts {
    /// What is not as one would expect, in words.
    pub fn word(&self) -> Option<String> {
        match self {
            Alerts::Feasible { rescaled: None, .. } => None,
            Alerts::Feasible { rescaled: Some((from, to)), .. } => Some(format!(
                "a burn rate of {from:.1} can hardly or never be reached with so low a target; \
                 alerts ask for {to:.1} instead"
            )),
            Alerts::Impossible { outage } => Some(format!(
                "no alert can be made: a full outage burns only {outage:.1} times as fast as \
                 allowed"
            )),
        }
    }
}

// === impl Severity ===

impl Severity {
    /// The word used in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Name,
        slo::{Aim, PATIENCE, StatusSet},
    };

    fn alerts(target: &str, days: u64) -> Alerts {
        let aim = Aim::Availability { patience: PATIENCE };
        Alerts::of(&Promise {
            audience: Name::parse("customer").expect("a name"),
            objective: 0,
            label: aim.label(None),
            aim,
            target: Percent::parse(target).expect("a share"),
            window: Duration::from_secs(days * 86_400),
            sla: None,
            bad: StatusSet::default(),
        })
    }

    fn factors(alerts: Alerts) -> (Vec<f64>, bool) {
        match alerts {
            Alerts::Feasible { alerts, rescaled } => {
                let factors = alerts.iter().map(|alert| (alert.factor * 100.0).round() / 100.0);
                (factors.collect(), rescaled.is_some())
            }
            Alerts::Impossible { .. } => (Vec::new(), false),
        }
    }

    #[test]
    fn thirty_days_ask_for_what_the_workbook_asks_for() {
        let Alerts::Feasible { alerts, rescaled } = alerts("99.9%", 30) else { panic!("feasible") };
        let shares: Vec<f64> = alerts.iter().map(|it| (it.share * 1_000.0).round()).collect();
        assert_eq!((shares, rescaled), (vec![20.0, 50.0, 100.0, 100.0], None));
    }

    #[test]
    fn seven_days_are_told_before_too_much_has_gone() {
        assert_eq!(factors(alerts("99.9%", 7)), (vec![13.44, 3.5, 1.4, 0.98], false));
    }

    #[test]
    fn what_a_full_outage_could_not_set_off_is_rescaled_or_refused() {
        assert_eq!(factors(alerts("95%", 30)), (vec![14.4, 6.0, 3.0, 1.0], false));
        assert_eq!(factors(alerts("90%", 30)), (vec![8.0, 6.0, 3.0, 1.0], true));
        assert_eq!(factors(alerts("80%", 30)), (vec![4.0, 4.0, 3.0, 1.0], true));
        for percent in 50..100 {
            let Alerts::Feasible { alerts, .. } = alerts(&format!("{percent}%"), 28) else {
                panic!("{percent}")
            };
            let budget = (100.0 - f64::from(percent)) / 100.0;
            assert!(alerts.iter().all(|it| it.factor * budget <= FEASIBLE + 1e-9), "{percent}");
        }
        assert!(matches!(alerts("40%", 30), Alerts::Impossible { outage } if outage < 2.0));
    }
}
