//! What a request says of its app, and what becomes of it because of that.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::{
    classify::{AppVersion, Facts, PathSet, PathView, read_version},
    config::{Audience, Config, Versions},
    policy::sticky::Place,
    proxy::{is_preflight, place_of},
    snapshot::version_salt,
    units::Percent,
};

/// What a request says of its app.
#[derive(Clone, Debug, Serialize)]
pub struct AppVersionView {
    /// The version; `none`, or `other` for what is none.
    pub version: String,
    /// `below_min`, `below_warn`, `current`, `none` or `other`.
    pub band: &'static str,
    /// Where it is looked for.
    pub from: Vec<String>,
    /// The status of the answer, where this client is refused.
    pub status: Option<u16>,
    /// The share of such clients that is refused now.
    pub refused_share: f64,
    /// What becomes of it, for people.
    pub told: String,
}

/// What `audience` makes of the version of the app that sends a request.
pub(super) fn version(
    config: &Config,
    audience: &Audience,
    facts: &Facts<'_>,
    path: &PathView<'_>,
) -> Option<AppVersionView> {
    let versions = audience.versions.as_ref()?;
    let preflight = is_preflight(facts.method, facts.headers);
    let seen = read_version(&versions.from, facts.headers);
    let band = versions.policy.band(seen);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let old = versions.policy.is_old(band) && !preflight;
    let exempt = PathSet::new(&versions.exempt).takes(path);
    let refused_share = if old && !exempt { versions.policy.share(now) } else { 0.0 };
    let Facts { identity, headers, client, .. } = *facts;
    let salt = version_salt(&audience.name);
    let place = place_of(&salt, identity, headers, client, &config.sticky);
    let refused_now = refused_share > 0.0 && place.is_within(refused_share);
    let told = match (preflight, old, exempt) {
        (true, ..) => "a preflight says no version, and is served".to_owned(),
        (_, true, true) => "older than is served, and served: the path is exempt".to_owned(),
        (_, true, false) => refused(versions, (refused_share, place), now),
        (_, false, _) => served(versions, seen),
    };
    Some(AppVersionView {
        version: match seen {
            AppVersion::Known(version) => version.to_string(),
            AppVersion::None | AppVersion::Other => band.name().to_owned(),
        },
        band: band.name(),
        from: versions.from.iter().map(ToString::to_string).collect(),
        status: refused_now.then_some(versions.answer.status.as_u16()),
        refused_share,
        told,
    })
}

fn refused(versions: &Versions, (share, place): (f64, Place), now: Duration) -> String {
    let (policy, status) = (&versions.policy, versions.answer.status.as_u16());
    let min = policy.min.map(|min| min.to_string()).unwrap_or_default();
    let begins = policy.brownout.as_ref().map(|schedule| schedule.begins());
    match begins.filter(|begins| *begins > now) {
        Some(begins) => {
            let begins = UNIX_EPOCH.checked_add(begins);
            let begins = begins.and_then(|at| jiff::Timestamp::try_from(at).ok());
            let begins = begins.map(|at| at.to_string()).unwrap_or_default();
            format!("below {min}, and served until {begins}, when clients begin to get {status}")
        }
        None if share >= 1.0 => format!("below {min}: {status} version_too_old"),
        None => {
            let refused = place.is_within(share);
            let here = Percent::of_share(place.fraction());
            let share = Percent::of_share(share);
            let became = if refused { "refused" } else { "served" };
            format!(
                "below {min}: {status} version_too_old for {share} of clients now; this one stands \
                 at {here} and is {became}"
            )
        }
    }
}

fn served(versions: &Versions, seen: AppVersion) -> String {
    let warned = versions.policy.warn_below;
    match (seen, warned) {
        (AppVersion::Known(version), Some(warned)) if version < warned => {
            format!("served, and told that it grows old (below {warned})")
        }
        _ => "served".to_owned(),
    }
}

impl fmt::Display for AppVersionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.version, self.from.join(", else "), self.told)
    }
}
