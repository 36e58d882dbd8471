//! Which versions of apps came, as the ports show it.

use std::time::{Instant, SystemTime};

use crate::{
    classify::{AppVersion, Version},
    control::{AppView, LockedOutView, VersionView, VersionsView},
    meters::Band,
    name::Name,
    policy::versions::{Counted, HOURS_MAX, HOURS_MIN, Reading},
    snapshot::{Audience, Snapshot, Versions},
};

/// Audiences that ask for a version, and the share of clients below it that is refused now.
pub(super) fn refused(snapshot: &Snapshot) -> Vec<(Name, f64)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let policies = looking(snapshot).map(|(audience, it)| (audience, &it.config.policy));
    let asking = policies.filter(|(_, policy)| policy.min.is_some());
    asking.map(|(audience, policy)| (audience.name.clone(), policy.share(now))).collect()
}

/// Which versions came lately, and whom `if_min` would lock out.
pub(super) fn view(
    snapshot: &Snapshot,
    audience: Option<&str>,
    if_min: Option<Version>,
) -> Result<VersionsView, String> {
    if let Some(name) = audience {
        let known = snapshot.audiences().iter().find(|it| it.name.as_str() == name);
        match known {
            None => return Err(format!("there is no audience `{name}`")),
            Some(Audience { versions: None, .. }) => {
                return Err(format!(
                    "audience `{name}` does not look at versions: write `versions:` there, or at \
                     the top level"
                ));
            }
            Some(_) => {}
        }
    }
    let asked =
        looking(snapshot).filter(|(it, _)| audience.is_none_or(|name| it.name.as_str() == name));
    let audiences = asked.map(|(audience, versions)| app(audience, versions, if_min)).collect();
    let note = format!(
        "Counted by this replica alone, over the last {HOURS_MIN} to {HOURS_MAX} \
         hours; clients are counted by user, device or address, to about 5 %."
    );
    Ok(VersionsView { note, audiences })
}

/// Audiences that look at versions.
fn looking(snapshot: &Snapshot) -> impl Iterator<Item = (&Audience, &Versions)> {
    snapshot.audiences().iter().filter_map(|it| Some((it, it.versions.as_ref()?)))
}

fn app(audience: &Audience, versions: &Versions, if_min: Option<Version>) -> AppView {
    let policy = &versions.config.policy;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let reading = versions.tally.read(Instant::now());
    let all = reading.all();
    let all = (all.requests, all.clients());
    let line = |version: String, band: Band, counted: &Counted| VersionView {
        version,
        band: band.name().to_owned(),
        requests: counted.requests,
        requests_share: share(counted.requests, all.0).unwrap_or_default(),
        clients: counted.clients(),
        clients_share: share(counted.clients(), all.1).unwrap_or_default(),
    };
    let known = reading.versions.iter().rev().map(|(version, counted)| {
        line(version.to_string(), policy.band(AppVersion::Known(*version)), counted)
    });
    let unknown = [(Band::None, &reading.none), (Band::Other, &reading.other)];
    let unknown = unknown.into_iter().filter(|(_, counted)| counted.requests > 0);
    let unknown = unknown.map(|(band, counted)| line(band.name().to_owned(), band, counted));
    AppView {
        audience: audience.name.to_string(),
        from: versions.config.from.iter().map(ToString::to_string).collect(),
        min: policy.min.map(|min| min.to_string()),
        warn_below: policy.warn_below.map(|it| it.to_string()),
        refused_share: policy.share(now),
        over_seconds: reading.over.as_secs(),
        requests: all.0,
        clients: all.1,
        versions: known.chain(unknown).collect(),
        rest: reading.rest,
        if_min: if_min.map(|min| locked_out(&reading, min, policy.unknown_is_old, all)),
    }
}

fn locked_out(reading: &Reading, min: Version, unknown: bool, all: (u64, u64)) -> LockedOutView {
    let below = reading.below(min, unknown);
    let clients = below.clients().min(all.1);
    LockedOutView {
        min: min.to_string(),
        requests: below.requests,
        requests_share: share(below.requests, all.0),
        clients,
        clients_share: share(clients, all.1),
        unknown_requests: reading.rest,
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| (part as f64 / all as f64).min(1.0))
}
