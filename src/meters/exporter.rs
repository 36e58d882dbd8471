//! What rarely moves: kept in the exporter's own registry, which is installed nowhere.

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::descriptors::{self, Place};

use super::{
    gauges::Gauges,
    http2::Http2End,
    names::{
        BUILD_INFO, CONFIG_GENERATION, CONFIG_RELOADS, DESCRIPTOR_SHORTAGES, DESCRIPTORS_MAX,
        Family, HTTP2_CLOSED, HTTP2_REFUSED, LOG_LINES_DROPPED, SLO_EVENTS_UNKEPT,
    },
};

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Another configuration is in use.
    Applied,
    /// The content means what it meant before.
    Unchanged,
    /// The content is wrong, and nothing has changed.
    Refused,
}

const METADATA: Metadata<'static> = Metadata::new("usher", Level::INFO, None);

/// The exporter's registry and our handles in it.
pub(super) struct Exporter {
    handle: PrometheusHandle,
    generation: Gauge,
    descriptors_max: Gauge,
    shortages: [Counter; Place::ALL.len()],
    log_lines_dropped: Counter,
    slo_events_unkept: Counter,
    reloads: [Counter; Reload::ALL.len()],
    http2_closed: [Counter; Http2End::ALL.len()],
    http2_refused: Counter,
}

// === impl Reload ===

impl Reload {
    const ALL: [Reload; 3] = [Reload::Applied, Reload::Unchanged, Reload::Refused];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Reload::Applied => "applied",
            Reload::Unchanged => "unchanged",
            Reload::Refused => "refused",
        }
    }
}

// === impl Exporter ===

impl Exporter {
    pub(super) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let version = Label::from_static_parts("version", env!("CARGO_PKG_VERSION"));
        gauge(&recorder, &BUILD_INFO, vec![version]).set(1.0);
        Self {
            handle: recorder.handle(),
            generation: gauge(&recorder, &CONFIG_GENERATION, Vec::new()),
            descriptors_max: gauge(&recorder, &DESCRIPTORS_MAX, Vec::new()),
            shortages: Place::ALL.map(|place| {
                let place = Label::from_static_parts("place", place.name());
                counter(&recorder, &DESCRIPTOR_SHORTAGES, vec![place])
            }),
            log_lines_dropped: counter(&recorder, &LOG_LINES_DROPPED, Vec::new()),
            slo_events_unkept: counter(&recorder, &SLO_EVENTS_UNKEPT, Vec::new()),
            reloads: Reload::ALL.map(|reload| {
                let result = Label::from_static_parts("result", reload.name());
                counter(&recorder, &CONFIG_RELOADS, vec![result])
            }),
            http2_closed: Http2End::ALL.map(|end| {
                let reason = Label::from_static_parts("reason", end.name());
                counter(&recorder, &HTTP2_CLOSED, vec![reason])
            }),
            http2_refused: counter(&recorder, &HTTP2_REFUSED, Vec::new()),
        }
    }

    /// What the registry holds, brought up to date with `gauges`.
    pub(super) fn render(&self, gauges: &Gauges) -> String {
        self.generation.set(gauges.config_generation as f64);
        self.descriptors_max.set(descriptors::limit_now() as f64);
        for (counter, count) in self.shortages.iter().zip(descriptors::shortages()) {
            counter.absolute(count);
        }
        self.log_lines_dropped.absolute(gauges.log_lines_dropped);
        self.slo_events_unkept.absolute(gauges.slo_events_unkept);
        self.handle.render()
    }

    pub(super) fn reloaded(&self, reload: Reload) {
        self.reloads[reload as usize].increment(1);
    }

    pub(super) fn http2_closed(&self, end: Http2End, refused: u64) {
        self.http2_closed[end as usize].increment(1);
        self.http2_refused.increment(refused);
    }

    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

// === free functions ===

fn gauge(recorder: &PrometheusRecorder, family: &'static Family, labels: Vec<Label>) -> Gauge {
    recorder.describe_gauge(KeyName::from(family.name), None, family.help.into());
    recorder.register_gauge(&Key::from_parts(family.name, labels), &METADATA)
}

fn counter(recorder: &PrometheusRecorder, family: &'static Family, labels: Vec<Label>) -> Counter {
    recorder.describe_counter(KeyName::from(family.name), None, family.help.into());
    recorder.register_counter(&Key::from_parts(family.name, labels), &METADATA)
}
