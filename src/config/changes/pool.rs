//! What changes for a pool.

use rustc_hash::FxHashMap;

use super::counted;
use crate::{
    config::{AddressSpec, Dialect, EndpointSpec, Pool, Timeouts},
    units::format_duration,
};

/// What changes from `old` to `new`, which have one name.
pub(super) fn pool(old: &Pool, new: &Pool) -> Vec<String> {
    let mut lines: Vec<String> = endpoints(&old.endpoints, &new.endpoints);
    if old.capacity != new.capacity {
        lines.push(format!("capacity {} → {}", old.capacity, new.capacity));
    }
    for (key, before, now) in
        times(old).zip(times(new)).map(|((key, old), (_, new))| (key, old, new))
    {
        if before != now {
            let (before, now) = (format_duration(before), format_duration(now));
            lines.push(format!("{key} {before} → {now}"));
        }
    }
    lines.extend(others(old, new).map(|key| format!("{key} changed")));
    lines
}

fn endpoints(old: &[EndpointSpec], new: &[EndpointSpec]) -> Vec<String> {
    fn addresses(specs: &[EndpointSpec]) -> Vec<&AddressSpec> {
        specs.iter().map(|spec| &spec.address).collect()
    }
    let mut lines = Vec::from_iter(counted("endpoint", &addresses(old), &addresses(new)));
    let known: FxHashMap<_, _> = old.iter().map(|spec| (&spec.address, spec.weight)).collect();
    let weighs_otherwise =
        |spec: &EndpointSpec| known.get(&spec.address).is_some_and(|known| *known != spec.weight);
    if new.iter().any(weighs_otherwise) {
        lines.push("weights changed".to_owned());
    }
    lines
}

/// How long things may take, by their keys.
fn times(pool: &Pool) -> impl Iterator<Item = (&'static str, std::time::Duration)> {
    let Timeouts { connect, first_byte, between_bytes, total } = pool.timeouts;
    [
        ("connect", connect),
        ("first_byte", first_byte),
        ("between_bytes", between_bytes),
        ("total", total),
        ("keep_alive.idle", pool.keep_alive_idle),
        ("abandoned.hold", pool.abandoned_hold),
        ("slow_start", pool.slow_start),
    ]
    .into_iter()
}

/// Keys of what else differs.
fn others(old: &Pool, new: &Pool) -> impl Iterator<Item = &'static str> {
    // All fields, so that none is forgotten that comes later. Those without a name here are said
    // in words of their own.
    let Pool {
        name: _,
        endpoints: _,
        capacity: _,
        capacity_written: _,
        queue,
        balance,
        when_empty,
        slow_start: _,
        event_streams,
        timeouts: _,
        keep_alive_idle: _,
        abandoned_hold: _,
        buffer,
        dialect: Dialect { tls, http2, proxy_protocol },
        health,
        ejection,
        when_unhealthy,
        database,
        retry,
    } = new;
    [
        ("queue", old.queue != *queue),
        ("balance", old.balance != *balance),
        ("when_empty", old.when_empty != *when_empty),
        ("event_streams", old.event_streams != *event_streams),
        ("buffer", old.buffer != *buffer),
        ("tls", old.dialect.tls != *tls),
        ("protocol", old.dialect.http2 != *http2),
        ("proxy_protocol", old.dialect.proxy_protocol != *proxy_protocol),
        ("health", old.health != *health),
        ("ejection", old.ejection != *ejection),
        ("when_unhealthy", old.when_unhealthy != *when_unhealthy),
        ("retry", old.retry != *retry),
        ("database connections", old.database != *database),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
}
