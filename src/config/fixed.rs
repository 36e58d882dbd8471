//! What holds from the start of a process to its end, whatever is written meanwhile.

use std::{path::PathBuf, time::Duration};

use http::Uri;

use super::{AccessLog, Config};
use crate::bind::{Access, Bind};

/// What a process was started with and no reload changes.
#[derive(Clone, Debug)]
pub struct Fixed {
    control: (Option<Bind>, Access, Option<PathBuf>),
    metrics: (Option<Bind>, Access),
    workers: Option<usize>,
    access_log: AccessLog,
    why_requests: usize,
    slo_source: Option<Uri>,
    state_dir: Option<PathBuf>,
    /// Where histograms have an edge because somebody was promised it.
    edges: Vec<Duration>,
}

// === impl Fixed ===

impl Fixed {
    /// What is fixed in a process that is started with `config`.
    pub fn of(config: &Config) -> Self {
        let objectives = config.audiences.iter().flat_map(|audience| &audience.objectives);
        let within = objectives.filter_map(|o| o.latency).map(|latency| latency.within);
        let mut edges: Vec<Duration> = within.collect();
        edges.sort_unstable();
        edges.dedup();
        Self {
            control: (
                config.control.clone(),
                config.control_access,
                config.operators.audit.clone(),
            ),
            metrics: (config.metrics.clone(), config.metrics_access),
            workers: config.workers,
            access_log: config.access_log.clone(),
            why_requests: config.why_requests,
            slo_source: config.slo_source.clone(),
            state_dir: config.state_dir.clone(),
            edges,
        }
    }

    /// What is written in `config` and takes a restart to act, a line each.
    pub fn waiting(&self, config: &Config) -> Vec<String> {
        let wanted = Self::of(config);
        // An edge that nobody asks for any more does no harm.
        let edge = wanted.edges.iter().any(|edge| !self.edges.contains(edge));
        [
            ("control", self.control != wanted.control),
            ("metrics", self.metrics != wanted.metrics),
            ("workers", self.workers != wanted.workers),
            ("access_log", self.access_log != wanted.access_log),
            ("why", self.why_requests != wanted.why_requests),
            ("slo_source", self.slo_source != wanted.slo_source),
            ("state_dir", self.state_dir != wanted.state_dir),
            ("a bucket edge of the histograms for a new `within`", edge),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| format!("{key} takes a restart"))
        .collect()
    }
}
