//! How it stands with the keys that issuers publish, for operators and for Prometheus.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::all;
use crate::{
    app::sight::rfc3339,
    control::IssuerView,
    identity::{IssuerReport, PassedOver},
    meters::IssuerGauges,
    name::Name,
    snapshot::Snapshot,
};

/// Every place where keys are published, as `status` shows it.
pub(in crate::app) fn views(snapshot: &Snapshot) -> Vec<IssuerView> {
    let Some(identities) = snapshot.identities() else { return Vec::new() };
    let view = |issuer: Arc<_>| {
        let sources = identities.sources.issuers();
        let sources = sources.filter(|(_, known)| Arc::ptr_eq(known, &issuer));
        let sources = sources.map(|(name, _)| name.to_string()).collect();
        view(issuer.report(), sources)
    };
    all(snapshot).into_iter().map(view).collect()
}

fn view(report: IssuerReport, sources: Vec<String>) -> IssuerView {
    let state = match (&report.trouble, report.keys) {
        (None, None) => "new",
        (None, Some(_)) => "fetched",
        (Some(_), None) => "unknown",
        (Some(_), Some(_)) => "kept",
    };
    let passed_over = report.passed_over.iter().map(|PassedOver { id, why }| match id {
        Some(id) => format!("{id}: {why}"),
        None => why.to_string(),
    });
    IssuerView {
        url: report.url,
        sources,
        state: state.to_owned(),
        keys: report.keys.unwrap_or_default() as u64,
        passed_over: passed_over.collect(),
        fetched_at: report.fetched.map(rfc3339),
        since: report.trouble.as_ref().map(|(since, _)| rfc3339(*since)),
        trouble: report.trouble.map(|(_, why)| why),
    }
}

/// The same for Prometheus, by source. Of two places that differ in their queries alone, which are
/// not shown, the one that is worse off counts.
pub(in crate::app) fn gauges(snapshot: &Snapshot) -> Vec<IssuerGauges> {
    let Some(identities) = snapshot.identities() else { return Vec::new() };
    let now = SystemTime::now();
    let mut all: BTreeMap<(Name, String), IssuerGauges> = BTreeMap::new();
    for (source, issuer) in identities.sources.issuers() {
        let IssuerReport { url, keys, fetched, fetches, .. } = issuer.report();
        let age = fetched.map(|at| now.duration_since(at).unwrap_or_default());
        let keys = keys.unwrap_or_default() as u64;
        let gauge = IssuerGauges { source: source.clone(), url: url.clone(), keys, age, fetches };
        let worse = |known: &mut IssuerGauges| {
            known.keys = known.keys.min(gauge.keys);
            known.age = known.age.zip(gauge.age).map(|(one, other)| one.max(other));
            for (count, more) in known.fetches.iter_mut().zip(gauge.fetches) {
                count.1 += more.1;
            }
        };
        all.entry((source.clone(), url)).and_modify(worse).or_insert_with(|| gauge.clone());
    }
    all.into_values().collect()
}

/// What an operator should know, a sentence each.
pub(in crate::app) fn troubles(snapshot: &Snapshot) -> Vec<String> {
    let told = |IssuerView { url, since, trouble, fetched_at, .. }: IssuerView| {
        let (since, trouble) = (since?, trouble?);
        let left = match fetched_at {
            Some(at) => format!("those of {at} stay in use"),
            None => "tokens signed with them prove nobody".to_owned(),
        };
        Some(format!("the keys at {url} cannot be fetched since {since}, {left}: {trouble}"))
    };
    views(snapshot).into_iter().filter_map(told).collect()
}
