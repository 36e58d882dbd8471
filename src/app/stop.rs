//! How a running usher is stopped, and what came of it.

use std::sync::Arc;

use super::sight::HouseSight;
use crate::{
    control::{Sight, StatusView},
    drain::{Drainer, Stage},
    meters::AudienceReading,
};

/// Why a running usher has ended when nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A thread died.
    #[error("{thread} has died; see the log above for its panic")]
    Died {
        /// Its name.
        thread: String,
    },
    /// A thread did not end in time after everything had been cut.
    #[error("not everything has ended {seconds} seconds after it was cut")]
    Stuck {
        /// How long was waited.
        seconds: u64,
    },
    /// The system gave no thread or no poller.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// Stops a running usher and sees how it fares, from any thread.
#[derive(Clone)]
pub struct Remote {
    drainer: Arc<Drainer>,
    sight: Arc<HouseSight>,
}

// === impl Remote ===

impl Remote {
    pub(super) fn new(drainer: Arc<Drainer>, sight: Arc<HouseSight>) -> Self {
        Self { drainer, sight }
    }

    /// Stops it as a TERM signal would.
    pub fn stop(&self) {
        self.drainer.advance(Stage::Grace);
    }

    /// Stops it at once, cutting whatever is in progress.
    pub fn cut(&self) {
        self.drainer.advance(Stage::Ending);
    }

    /// How it fares.
    pub fn status(&self) -> StatusView {
        self.sight.status()
    }

    /// Every metric in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.sight.metrics()
    }

    /// What has been counted so far for each audience.
    pub fn audiences(&self) -> Vec<AudienceReading> {
        self.sight.counted()
    }

    /// Whether it has been asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.sight.readiness() == crate::control::Readiness::Draining
    }

    /// Whether requests may be sent to it.
    pub fn is_ready(&self) -> bool {
        self.sight.readiness() == crate::control::Readiness::Ready
    }
}
