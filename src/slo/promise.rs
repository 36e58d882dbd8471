//! What was promised: one of these for each value of the label `slo`.

use std::{sync::Arc, time::Duration};

use super::StatusSet;
use crate::{
    classify::PathPattern,
    name::Name,
    units::{Percent, format_duration},
};

/// Over how long a promise is held when nothing else is written: four whole weeks, so that every
/// window holds as many weekends as the one before it.
pub const WINDOW: Duration = Duration::from_secs(28 * 86_400);
/// The shortest window.
pub const WINDOW_MIN: Duration = Duration::from_secs(7 * 86_400);
/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(30 * 86_400);

/// How long a client waits before its leaving speaks against the availability of an audience
/// without a latency objective.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Paths that no person waits for. They would drown what people do.
const EXCLUDED: [&str; 12] = [
    "/up",
    "/health",
    "/healthz",
    "/health_check",
    "/livez",
    "/readyz",
    "/ping",
    "/assets/**",
    "/packs/**",
    "/vite/**",
    "/favicon.ico",
    "/robots.txt",
];

/// What is counted under one label.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Whom it was given.
    pub audience: Name,
    /// Its objective's place among the audience's.
    pub objective: usize,
    /// `[NAME-]availability` or `[NAME-]latency-300ms`. What makes histories incomparable is in it,
    /// the target is not.
    pub label: Arc<str>,
    /// What makes an answer good.
    pub aim: Aim,
    /// The share of good ones.
    pub target: Percent,
    /// Over how long.
    pub window: Duration,
    /// What was promised to others.
    pub sla: Option<Percent>,
    /// Statuses that are bad beside those from 500 on.
    pub bad: StatusSet,
}

/// What makes an answer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// That there is one. Clients that leave within `patience` say nothing about that.
    Availability {
        /// The audience's longest `within`, else [`PATIENCE`].
        patience: Duration,
    },
    /// That it comes in time as well.
    Latency {
        /// The longest time that is still in time.
        within: Duration,
        /// What is to come by then.
        on: On,
    },
}

/// What is to come in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On {
    /// The answer's head.
    #[default]
    FirstByte,
    /// The answer's last byte, handed to the client's connection.
    Completion,
}

/// Paths that are not counted when an objective says neither `only` nor `exclude`.
pub fn excluded_by_default() -> Vec<PathPattern> {
    EXCLUDED.iter().filter_map(|path| PathPattern::parse(path).ok()).collect()
}

// === impl Promise ===

impl Promise {
    /// The share of bad events that is allowed: the error budget.
    pub fn budget(&self) -> f64 {
        // Not `1 - ratio()`: 100 − 99.9 is nearer to 0.1 than 1 − 0.999 is to 0.001.
        (100.0 - self.target.percent()) / 100.0
    }
}

// === impl Aim ===

impl Aim {
    /// The label of a promise with this aim, given under `name`.
    pub fn label(self, name: Option<&Name>) -> Arc<str> {
        let mut label = name.map_or(String::new(), |name| format!("{name}-"));
        match self {
            Aim::Availability { .. } => label += "availability",
            Aim::Latency { within, on: On::FirstByte } => {
                label += &format!("latency-{}", format_duration(within));
            }
            Aim::Latency { within, on: On::Completion } => {
                label += &format!("latency-{}-completion", format_duration(within));
            }
        }
        label.into()
    }
}

// === impl On ===

impl On {
    /// The word used in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            On::FirstByte => "first_byte",
            On::Completion => "completion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_what_makes_histories_incomparable() {
        let name = Name::parse("position").expect("a name");
        let patience = PATIENCE;
        let within = Duration::from_millis(300);
        let aims = [
            Aim::Availability { patience },
            Aim::Latency { within, on: On::FirstByte },
            Aim::Latency { within: Duration::from_secs(2), on: On::Completion },
        ];
        let labels = aims
            .map(|aim| [aim.label(None), aim.label(Some(&name))].map(|label| label.to_string()));
        let labels = labels.concat();
        let expected = [
            "availability",
            "position-availability",
            "latency-300ms",
            "position-latency-300ms",
            "latency-2s-completion",
            "position-latency-2s-completion",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn every_path_that_is_excluded_by_default_is_one() {
        assert_eq!(excluded_by_default().len(), EXCLUDED.len());
    }
}
