//! Which versions of an audience's app are served, and which came.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};

use crate::{
    classify::{AppVersion, PathSet, PathView, read_version},
    config,
    meters::{Band, VersionMeter},
    name::Name,
    policy::versions::Tally,
};

/// Which versions of an audience's app are served, and which came.
#[derive(Debug)]
pub struct Versions {
    /// What was written.
    pub config: config::Versions,
    /// Where requests are counted by where their version lies.
    pub meter: Arc<VersionMeter>,
    /// Which versions came lately.
    pub tally: Arc<Tally>,
    exempt: PathSet,
    /// Where clients stand in this audience's brown-outs, apart from all else that is shared out.
    salt: Box<str>,
}

/// What clients are told whose app grows old.
#[derive(Clone, Debug)]
pub struct Deprecation {
    /// `Deprecation` (RFC 9745).
    pub since: HeaderValue,
    /// `Sunset` (RFC 8594): when versions below `min` are all refused, where that has an end.
    pub sunset: Option<HeaderValue>,
}

// === impl Versions ===

impl Versions {
    pub(super) fn new(
        audience: &Name,
        config: &config::Versions,
        meter: Arc<VersionMeter>,
        tally: Arc<Tally>,
    ) -> Self {
        let exempt = PathSet::new(&config.exempt);
        let salt = salt(audience).into();
        Self { config: config.clone(), meter, tally, exempt, salt }
    }

    /// What a request with these fields says of its app, and where that lies.
    pub fn read(&self, headers: &HeaderMap) -> (AppVersion, Band) {
        let version = read_version(&self.config.from, headers);
        (version, self.config.policy.band(version))
    }

    /// Whether all versions may ask for `path`.
    pub fn exempts(&self, path: &str) -> bool {
        !self.exempt.patterns().is_empty()
            && PathView::of(path).is_ok_and(|path| self.exempt.takes(&path))
    }

    /// What clients are placed by in this audience's brown-outs.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// What clients are told whose app grows old.
    pub(super) fn deprecation(&self) -> Option<Deprecation> {
        let config::Versions { policy, warn_since, .. } = &self.config;
        if policy.min.is_none() && policy.warn_below.is_none() {
            return None;
        }
        let since = HeaderValue::try_from(format!("@{}", warn_since.as_secs())).ok()?;
        let ends = policy.brownout.as_ref().map(|schedule| schedule.ends());
        let sunset = ends.filter(|(_, share)| *share >= 1.0).and_then(|(at, _)| http_date(at));
        Some(Deprecation { since, sunset })
    }
}

/// What clients are placed with in the brown-outs of `audience`: the same ones are first in each,
/// so that nobody who was refused is served again because `min` rose.
pub fn salt(audience: &Name) -> String {
    format!("versions/{audience}")
}

fn http_date(since_1970: Duration) -> Option<HeaderValue> {
    let at = std::time::UNIX_EPOCH.checked_add(since_1970)?;
    // What is later than HTTP's dates reach is no date at all.
    let representable = since_1970 < Duration::from_secs(253_402_300_800);
    representable.then(|| HeaderValue::try_from(httpdate::fmt_http_date(at)).ok()).flatten()
}
