//! How pools, endpoints and certificates are shown.

use std::{collections::BTreeMap, time::SystemTime};

use rustc_hash::FxHashMap;

use super::sight::rfc3339;
use crate::{
    config::{self, Config, Need},
    control::{EndpointView, EventView, FallbackView, NameView, PoolView},
    discover::Report,
    meters::{
        BufferGauges, CertificateGauges, EndpointGauges, FallbackGauges, NameGauges, PoolGauges,
    },
    name::Name,
    proxy::{Buffers, Common},
    snapshot::{Fallback, Pool, Snapshot},
    tls::Certificate,
    units::format_size,
    upstream::{Endpoint, Event, Member, Welcome},
};

/// The most events that `status` shows.
const EVENTS_MAX: usize = 20;

pub(super) fn pool_view(pool: &Pool) -> PoolView {
    let members = pool.upstream.members();
    let capacity = u64::from(pool.config.capacity);
    let (origins, names) = (pool.upstream.origins(), pool.upstream.names());
    let view = |Member { endpoint, .. }: &Member| {
        let origin = origins.iter().find(|(address, _)| address == endpoint.address());
        let resolved_from = origin.map(|(_, written)| written.clone());
        EndpointView { resolved_from, ..endpoint_view(endpoint, capacity) }
    };
    let mut endpoints: Vec<EndpointView> = members.iter().map(view).collect();
    endpoints.extend(names.iter().filter_map(nowhere));
    PoolView {
        name: pool.name.to_string(),
        capacity: capacity * members.iter().count() as u64,
        capacity_is_per_process: true,
        in_flight: pool.meter.leases().saturating_sub(pool.meter.orphans()),
        orphans: pool.meter.orphans(),
        queue_length: pool.upstream.queue().waiting() as u64,
        endpoints,
        names: names.iter().map(name_view).collect(),
    }
}

/// A name of which nothing was ever known, as the endpoint that it stands for at least.
fn nowhere(name: &Report) -> Option<EndpointView> {
    let trouble = name.trouble.as_ref().filter(|_| name.places.is_empty())?;
    Some(EndpointView {
        address: name.question.to_string(),
        state: "down".to_owned(),
        last_error: Some(trouble.failure.to_string()),
        resolved_from: Some(name.question.to_string()),
        ..EndpointView::default()
    })
}

fn name_view(name: &Report) -> NameView {
    let trouble = name.trouble.as_ref();
    let state = match trouble {
        None if name.inherited => "kept",
        None if name.places.is_empty() => "new",
        None => "found",
        Some(_) if name.places.is_empty() => "unknown",
        Some(_) => "kept",
    };
    NameView {
        name: name.question.to_string(),
        source: name.question.source().to_owned(),
        state: state.to_owned(),
        since: trouble.map(|trouble| rfc3339(trouble.since)),
        trouble: trouble.map(|trouble| trouble.failure.to_string()),
        addresses: name.places.iter().map(ToString::to_string).collect(),
        warning: name.warning(),
        inherited: name.inherited,
    }
}

/// How it stands with every name that a pool mentions, each once.
pub(super) fn name_gauges(snapshot: &Snapshot) -> Vec<NameGauges> {
    let reports = snapshot.pools().iter().flat_map(|pool| pool.upstream.names());
    let by_question: BTreeMap<_, _> =
        reports.map(|report| (report.question.clone(), report)).collect();
    let mut gauges: BTreeMap<(String, &'static str), NameGauges> = BTreeMap::new();
    for Report { question, places, trouble, tally, .. } in by_question.into_values() {
        let (name, source) = (question.to_string(), question.source());
        // One name asked for in two families is one name here.
        let gauge = gauges.entry((name.clone(), source)).or_default();
        (gauge.name, gauge.source) = (name, source);
        let failing = trouble.and_then(|trouble| trouble.since.elapsed().ok());
        gauge.addresses += places.len() as u64;
        gauge.failing = gauge.failing.max(failing.unwrap_or_default());
        for (count, more) in gauge.look_ups.iter_mut().zip(tally.by_result()) {
            *count = (more.0, count.1 + more.1);
        }
    }
    gauges.into_values().collect()
}

pub(super) fn endpoint_view(endpoint: &Endpoint, capacity: u64) -> EndpointView {
    let health = endpoint.health().report();
    let state = if endpoint.is_drained() { "drained" } else { health.standing.name() };
    let lately = health.lately;
    EndpointView {
        address: endpoint.as_str().to_owned(),
        state: state.to_owned(),
        since: health.reason.is_some().then(|| rfc3339(health.since)),
        reason: health.reason,
        check: health.complaint,
        returns_in_seconds: health.returns_in.map(|time| time.as_secs_f64()),
        requests_lately: lately.requests(),
        failed_lately: (lately.requests() > 0).then(|| lately.failed_share()),
        in_flight: u64::from(endpoint.in_flight().saturating_sub(endpoint.orphans())),
        capacity: capacity.min(u64::from(endpoint.capacity())),
        last_error: endpoint.trouble().map(|trouble| trouble.what),
        resolved_from: None,
    }
}

/// Audiences with a pool to fall back to, and how they fare there.
pub(super) fn fallbacks(snapshot: &Snapshot) -> Vec<FallbackGauges> {
    let falling = snapshot.audiences().iter().filter_map(|it| Some((it, it.fallback.as_ref()?)));
    let gauges = falling.map(|(it, fallback)| FallbackGauges {
        audience: it.name.clone(),
        pool: snapshot.pool(fallback.pool).name.clone(),
        here: fallback.guests.here(),
        counts: fallback.guests.counts().to_vec(),
    });
    gauges.collect()
}

/// How the audience of this name fares in the pool that it falls back to, if it has one.
pub(super) fn fallback(snapshot: &Snapshot, audience: &Name) -> Option<FallbackView> {
    let found = snapshot.audiences().iter().find(|it| it.name == *audience)?;
    let Fallback { pool, guests, share } = found.fallback.as_ref()?;
    let (taken, refused) =
        guests.counts().into_iter().fold((0, 0), |(taken, refused), it| match it {
            (welcome, count) if welcome == Welcome::Taken.name() => (taken + count, refused),
            (_, count) => (taken, refused + count),
        });
    Some(FallbackView {
        pool: snapshot.pool(*pool).name.to_string(),
        share: *share,
        in_flight: guests.here(),
        taken,
        refused,
    })
}

/// Who is where it does not belong, for people.
pub(super) fn away(snapshot: &Snapshot) -> Vec<String> {
    let away = fallbacks(snapshot).into_iter().filter(|it| it.here > 0);
    away.map(|FallbackGauges { audience, pool, here, .. }| {
        format!("audience {audience} falls back to pool {pool} and holds {here} slots there")
    })
    .collect()
}

/// Pools that meet at an address, found by a name for one of them, and say differently how many
/// slots it has. Where both are written, the configuration is refused.
pub(super) fn two_capacities(snapshot: &Snapshot) -> Vec<String> {
    let mut first: FxHashMap<u32, &Pool> = FxHashMap::default();
    let mut pairs: BTreeMap<(&str, &str), (String, usize)> = BTreeMap::new();
    for pool in snapshot.pools() {
        for Member { endpoint, .. } in pool.upstream.members().iter() {
            let other = *first.entry(endpoint.id()).or_insert(pool);
            if other.config.capacity != pool.config.capacity {
                let pair = pairs.entry((other.name.as_str(), pool.name.as_str()));
                pair.or_insert_with(|| (endpoint.as_str().to_owned(), 0)).1 += 1;
            }
        }
    }
    let line = |((one, other), (address, count)): ((&str, &str), (String, usize))| {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        format!(
            "pools {one} and {other} have {address}{more} in common and say differently how many \
             slots that has: the smaller `capacity` counts"
        )
    };
    pairs.into_iter().map(line).collect()
}

/// How many clients had to be forgotten, of each audience that counts them.
pub(super) fn forgotten(snapshot: &Snapshot) -> Vec<(Name, u64)> {
    let limited = snapshot.audiences().iter().filter_map(|it| Some((it, it.rate.as_ref()?)));
    let counting = limited.filter(|(_, rate)| rate.limits.client.is_some());
    counting.map(|(it, rate)| (it.name.clone(), rate.meter.forgotten())).collect()
}

/// Bodies that are kept, under the highest ceiling that a listener has.
pub(super) fn buffers(common: &Common, config: &Config) -> BufferGauges {
    let ceilings = config.listeners.iter().map(|it| it.limits.buffers_bytes);
    let ceilings = ceilings.map(|bytes| bytes.unwrap_or_else(Buffers::auto_bytes));
    BufferGauges {
        memory: common.buffers.bytes(),
        memory_max: ceilings.max().unwrap_or_default(),
        disk: common.spool.used(),
        shortages: common.buffers.shortages().to_vec(),
    }
}

/// What an operator should know of them.
pub(super) fn buffers_trouble(common: &Common, config: &Config) -> Option<String> {
    common.buffers.was_short_lately().then(|| {
        let most = format_size(buffers(common, config).memory_max);
        format!("the memory for bodies was full within the last minute; limits.buffers is {most}")
    })
}

/// Every name with its count.
pub(super) fn named<const N: usize>(
    names: [&'static str; N],
    counts: [u64; N],
) -> Vec<(&'static str, u64)> {
    names.into_iter().zip(counts).collect()
}

/// Database connections that the pools need with the endpoints that they have now.
pub(super) fn database(snapshot: &Snapshot) -> Option<([(&'static str, u64); 3], u64)> {
    let members = |config: &config::Pool| {
        let pool = snapshot.pools().iter().find(|pool| pool.name == config.name);
        pool.map_or(0, |pool| pool.upstream.members().iter().count() as u64)
    };
    let (need, max) = Need::of(&snapshot.config, members)?;
    Some((need.by_moment(), max))
}

/// When the certificates of each listener end; of two for one name, the one that ends first.
pub(super) fn certificate_gauges(config: &Config) -> Vec<CertificateGauges> {
    let mut all: BTreeMap<(String, String), u64> = BTreeMap::new();
    for listener in &config.listeners {
        for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
            let (name, expires) = (called(certificate), ends(certificate));
            let known = all.entry((listener.bind.to_string(), name.to_owned())).or_insert(expires);
            *known = expires.min(*known);
        }
    }
    let gauge = |((listener, name), expires)| CertificateGauges { listener, name, expires };
    all.into_iter().map(gauge).collect()
}

/// When the certificates end that endpoints are shown.
pub(super) fn shown_to_endpoints(config: &Config) -> Vec<(Name, String, u64)> {
    let shown = |pool: &config::Pool| {
        let certificate = pool.dialect.certificate()?;
        Some((pool.name.clone(), called(certificate).to_owned(), ends(certificate)))
    };
    config.pools.iter().filter_map(shown).collect()
}

/// The first name of a certificate, or its subject where it has none.
fn called(certificate: &Certificate) -> &str {
    certificate.names().first().map_or(certificate.subject(), String::as_str)
}

/// When it ends, in seconds since 1970.
fn ends(certificate: &Certificate) -> u64 {
    let expires = certificate.expires().duration_since(SystemTime::UNIX_EPOCH);
    expires.unwrap_or_default().as_secs()
}

/// What has happened lately to endpoints that are still there, or were a moment ago.
pub(super) fn events(snapshot: &Snapshot) -> Vec<EventView> {
    let Some(journal) = snapshot.pools().first().map(|pool| pool.upstream.journal()) else {
        return Vec::new();
    };
    let view = |event: &Event| EventView {
        at: rfc3339(event.at),
        pools: snapshot
            .pools()
            .iter()
            .filter(|pool| pool.upstream.has_had(event.endpoint_id))
            .map(|pool| pool.name.to_string())
            .collect(),
        endpoint: event.endpoint.clone(),
        event: event.what.name().to_owned(),
        reason: event.reason.clone(),
    };
    journal.since(0).iter().rev().take(EVENTS_MAX).rev().map(view).collect()
}

pub(super) fn pool_gauges(pool: &Pool) -> PoolGauges {
    let view = pool_view(pool);
    let count = |state| view.endpoints.iter().filter(|it| it.state == state).count() as u64;
    PoolGauges {
        name: pool.name.clone(),
        endpoints: EndpointGauges {
            up: count("up"),
            down: count("down"),
            ejected: count("ejected"),
            drained: count("drained"),
        },
        capacity: view.capacity,
        in_flight: view.in_flight,
        orphans: view.orphans,
        queue_length: view.queue_length,
        event_streams: pool.upstream.queue().streams(),
        encrypted: pool.upstream.dialect().is_encrypted(),
    }
}

/// Every table of users, and how many are in it.
pub(super) fn tables(snapshot: &Snapshot) -> impl Iterator<Item = (Name, u64)> {
    snapshot.config.tables.iter().map(|it| (it.name.clone(), it.table.lines() as u64))
}
