//! Requests of an audience by where the version of their app lies.

use super::Cells;

/// Where a version lies. Which versions that are is the configuration's to say, so that no client
/// can make up a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Below `min`, whether or not it is refused.
    BelowMin,
    /// Not below `min`, and below `warn_below`.
    BelowWarn,
    /// Neither.
    Current,
    /// There is none.
    None,
    /// What stands there is no version.
    Other,
}

/// Counts the requests of one audience.
pub struct VersionMeter(Cells);

// === impl Band ===

impl Band {
    /// Every band there is.
    pub const ALL: [Band; 5] =
        [Band::BelowMin, Band::BelowWarn, Band::Current, Band::None, Band::Other];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Band::BelowMin => "below_min",
            Band::BelowWarn => "below_warn",
            Band::Current => "current",
            Band::None => "none",
            Band::Other => "other",
        }
    }
}

// === impl VersionMeter ===

impl VersionMeter {
    pub(super) fn new(rows: usize) -> Self {
        Self(Cells::new(rows, Band::ALL.len()))
    }

    /// A request whose version lies in `band`.
    pub fn seen(&self, worker: usize, band: Band) {
        self.0.add(worker, band as usize, 1);
    }

    /// How many of each.
    pub(super) fn read(&self) -> impl Iterator<Item = (Band, u64)> {
        Band::ALL.into_iter().map(|band| (band, self.0.sum(band as usize)))
    }
}

impl std::fmt::Debug for VersionMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VersionMeter")
    }
}
