//! Pools.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use super::{LoweredPool, NAMES_MAX, bounded, dialect, discovery, health, house::positive, place};
use crate::{
    config::{
        AddressSpec, Balance, Buffer, Demand, Dialect, EndpointSpec, HashBy, Health, Pool, Queue,
        Surge, Timeouts, defaults,
        document::{self, At, Endpoint, Named, Reader, WeightedEndpoint},
        source::Span,
    },
    name::Name,
    units::Percent,
};

const WEIGHT_MAX: u32 = 1_000;
const CAPACITY_MAX: u32 = 100_000;

/// Lowers all of them.
pub(super) fn lower(pools: &At<Named<document::Pool>>, reader: &mut Reader) -> Vec<LoweredPool> {
    bounded(pools.value.entries.len(), NAMES_MAX, "pools", pools.key, reader);
    if pools.value.empty {
        reader.error(pools.span, "usher needs at least one pool");
    }
    let mut lowered: Vec<LoweredPool> = Vec::new();
    let mut capacities = HashMap::new();
    let mut checks = HashMap::new();
    let mut dialects = HashMap::new();
    for (name, pool) in &pools.value.entries {
        match Name::parse(&name.value) {
            Ok(parsed) => {
                let pool = lower_pool(name.span, parsed, pool, reader);
                one_capacity_an_address(&pool, &mut capacities, reader);
                one_check_an_address(&pool, &mut checks, reader);
                one_dialect_an_address(&pool, &mut dialects, reader);
                lowered.push(LoweredPool {
                    pool: pool.0,
                    name: name.span,
                    timeouts: pool.1.timeouts,
                    endpoints: pool.1.endpoints,
                });
            }
            Err(error) => {
                reader.error(name.span, format!("`{}` is not a name: {error}", name.value));
            }
        }
    }
    lowered
}

/// Where a pool's parts stand.
struct Places {
    timeouts: Span,
    endpoints: Vec<Span>,
}

fn lower_pool(
    span: Span,
    name: Name,
    pool: &document::Pool,
    reader: &mut Reader,
) -> (Pool, Places) {
    let endpoints = endpoints(pool.endpoints.as_ref(), reader);
    let capacity = capacity(span, &name, pool, reader);
    let keep_alive = pool.keep_alive.as_ref().and_then(|at| at.value.idle.as_ref());
    let dialect = dialect::lower(pool, &endpoints, reader);
    let hold = pool.abandoned.as_ref().and_then(|at| at.value.hold.as_ref());
    let lowered = Pool {
        name,
        endpoints: endpoints.iter().map(|(endpoint, _)| endpoint.clone()).collect(),
        capacity,
        capacity_written: pool.capacity.is_some(),
        queue: queue(pool.queue.as_ref()),
        balance: balance(pool.balance.as_ref(), reader),
        slow_start: pool.slow_start.as_ref().map_or(Duration::ZERO, |at| at.value.0),
        event_streams: event_streams(pool, capacity, endpoints.len(), reader),
        when_empty: pool.when_empty.as_ref().map(|at| at.value.0).unwrap_or_default(),
        timeouts: timeouts(pool.timeouts.as_ref(), reader),
        keep_alive_idle: positive(keep_alive, defaults::KEEP_ALIVE_IDLE, reader),
        abandoned_hold: hold.map_or(defaults::ABANDONED_HOLD, |at| at.value.0),
        buffer: buffer(pool.buffer.as_ref(), reader),
        dialect,
        health: health::health(pool.health.as_ref(), reader),
        ejection: health::ejection(pool.ejection.as_ref(), reader),
        when_unhealthy: pool.when_unhealthy.as_ref().map_or_else(Default::default, |at| at.value.0),
        retry: health::retry(pool.retry.as_ref(), reader),
        database: Demand {
            connections: pool.database_connections.as_ref().map(|at| at.value.0),
            endpoints_max: pool.endpoints_max.as_ref().map(|at| at.value.0),
            surge: pool.surge.as_ref().map_or(Surge::Count(0), |at| at.value.0),
        },
    };
    let places = Places {
        timeouts: pool.timeouts.as_ref().map_or(span, |at| at.key),
        endpoints: endpoints.into_iter().map(|(_, span)| span).collect(),
    };
    (lowered, places)
}

fn capacity(span: Span, name: &Name, pool: &document::Pool, reader: &mut Reader) -> u32 {
    let assumed = defaults::CAPACITY;
    let Some(at) = &pool.capacity else {
        if pool.written.contains(&"capacity") {
            return assumed;
        }
        let message = format!("pool `{name}` has no `capacity`: {assumed} per endpoint is assumed");
        let hint = "write `capacity:` with Puma's workers times its threads";
        reader.warn(span, message, hint);
        return assumed;
    };
    if at.value.0 > CAPACITY_MAX {
        reader.error(at.span, format!("a capacity is at most {CAPACITY_MAX}"));
    }
    at.value.0
}

fn endpoints(
    at: Option<&At<document::Many<Endpoint>>>,
    reader: &mut Reader,
) -> Vec<(EndpointSpec, Span)> {
    let Some(at) = at else { return Vec::new() };
    if at.value.empty {
        reader.error(at.span, "a pool needs at least one endpoint");
    }
    bounded(at.value.items.len(), NAMES_MAX, "endpoints", at.key, reader);
    let mut lowered: Vec<(EndpointSpec, Span)> = Vec::new();
    for At { value: Endpoint(endpoint), span, .. } in &at.value.items {
        let Some((address, span)) = address(endpoint, *span, reader) else { continue };
        let spec = EndpointSpec { address, weight: weight(endpoint, reader) };
        if let Some((_, first)) = lowered.iter().find(|(e, _)| e.address == spec.address) {
            let place = reader.place(*first, span);
            let message = format!("{} stands twice in this pool, first {place}", spec.address);
            reader.error_with(span, message, "give one of them a `weight:` instead");
        }
        lowered.push((spec, span));
    }
    lowered
}

/// Where an endpoint is, and where that stands: an address, or a name to ask for.
fn address(
    endpoint: &WeightedEndpoint,
    span: Span,
    reader: &mut Reader,
) -> Option<(AddressSpec, Span)> {
    match (&endpoint.address, &endpoint.dns) {
        (Some(address), None) => {
            Some((resolve(&address.value.0, address.span, reader), address.span))
        }
        (None, Some(dns)) => {
            let asked = discovery::dns(dns, reader)?;
            Some((AddressSpec::Dns(asked), dns.span))
        }
        (Some(_), Some(dns)) => {
            let hint = "write two endpoints, one with each";
            reader.error_with(dns.key, "`address` and `dns` are two things", hint);
            None
        }
        (None, None) => {
            if !["address", "dns"].iter().any(|key| endpoint.written.contains(key)) {
                let hint = "write `127.0.0.1:3000`, or `dns: { name: web, port: 3000 }`";
                reader.error_with(span, "an `address` or `dns` is missing here", hint);
            }
            None
        }
    }
}

fn weight(endpoint: &WeightedEndpoint, reader: &mut Reader) -> u32 {
    let Some(at) = &endpoint.weight else { return 1 };
    if at.value.0 > WEIGHT_MAX {
        reader.error(at.span, format!("a weight is at most {WEIGHT_MAX}"));
    }
    at.value.0
}

/// The path of a socket starts at the file it stands in.
fn resolve(address: &AddressSpec, span: Span, reader: &mut Reader) -> AddressSpec {
    match address {
        AddressSpec::Unix(path) => {
            let path = place::socket(path, span, reader);
            place::fits(&path, span, reader);
            AddressSpec::Unix(path)
        }
        AddressSpec::Socket(_) | AddressSpec::Named(..) | AddressSpec::Dns(_) => address.clone(),
    }
}

/// Slots are counted by address, so that an address has one capacity whatever pools it is in.
fn one_capacity_an_address(
    (pool, places): &(Pool, Places),
    seen: &mut HashMap<AddressSpec, (u32, Name, Span)>,
    reader: &mut Reader,
) {
    for (endpoint, span) in pool.endpoints.iter().zip(&places.endpoints) {
        let this = (pool.capacity, pool.name.clone(), *span);
        let first = seen.entry(endpoint.address.clone()).or_insert(this);
        if first.0 != pool.capacity {
            let message = format!(
                "{} has two capacities: {} in pool `{}`, {} in pool `{}`",
                endpoint.address, first.0, first.1, pool.capacity, pool.name
            );
            reader.error_with(*span, message, "write the same `capacity` in both pools");
        }
    }
}

/// The share of the slots that streams of events may hold. Each holds one for as long as somebody
/// looks, so that few of them can take a whole pool.
fn event_streams(
    pool: &document::Pool,
    capacity: u32,
    endpoints: usize,
    reader: &mut Reader,
) -> Percent {
    let Some(at) = &pool.event_streams else { return Percent::of_share(1.0) };
    let share = at.value.0;
    let slots = f64::from(capacity) * endpoints as f64;
    if share.ratio() > 0.0 && share.ratio() * slots < 1.0 {
        let message = format!("{share} of {slots} slots is less than one");
        reader.warn(
            at.span,
            message,
            "one stream of events is allowed nevertheless; `0%` allows none",
        );
    }
    share
}

/// What checks say of an address holds in all pools, so that it is asked in one way.
fn one_check_an_address(
    (pool, places): &(Pool, Places),
    seen: &mut HashMap<AddressSpec, (Arc<Health>, Name)>,
    reader: &mut Reader,
) {
    let Some(health) = &pool.health else { return };
    for (endpoint, span) in pool.endpoints.iter().zip(&places.endpoints) {
        let this = (health.clone(), pool.name.clone());
        let (first, name) = seen.entry(endpoint.address.clone()).or_insert(this);
        if *first != *health {
            let message = format!(
                "{} is asked in two ways: by the `health` of pool `{name}` and of pool `{}`",
                endpoint.address, pool.name
            );
            let hint = "write the same `health` in both pools, or in one of them only";
            reader.error_with(*span, message, hint);
        }
    }
}

/// What listens at an address speaks in one way, whatever pools it is in.
fn one_dialect_an_address(
    (pool, places): &(Pool, Places),
    seen: &mut HashMap<AddressSpec, (Dialect, Name)>,
    reader: &mut Reader,
) {
    for (endpoint, span) in pool.endpoints.iter().zip(&places.endpoints) {
        let this = (pool.dialect.clone(), pool.name.clone());
        let (first, name) = seen.entry(endpoint.address.clone()).or_insert(this);
        if *first != pool.dialect {
            let message = format!(
                "{} is spoken to in two ways: in pool `{name}` and in pool `{}`",
                endpoint.address, pool.name
            );
            let hint = "write the same `tls`, `protocol` and `proxy_protocol` in both pools";
            reader.error_with(*span, message, hint);
        }
    }
}

fn queue(at: Option<&At<document::Queue>>) -> Queue {
    let default = Queue::default();
    let Some(At { value, .. }) = at else { return default };
    Queue {
        length: value.length.as_ref().map_or(default.length, |at| at.value.0),
        wait: value.wait.as_ref().map_or(default.wait, |at| at.value.0),
    }
}

fn timeouts(at: Option<&At<document::Timeouts>>, reader: &mut Reader) -> Timeouts {
    let default = Timeouts::default();
    let Some(At { value, .. }) = at else { return default };
    Timeouts {
        connect: positive(value.connect.as_ref(), default.connect, reader),
        first_byte: positive(value.first_byte.as_ref(), default.first_byte, reader),
        between_bytes: positive(value.between_bytes.as_ref(), default.between_bytes, reader),
        total: positive(value.total.as_ref(), default.total, reader),
    }
}

fn buffer(at: Option<&At<document::Buffer>>, reader: &mut Reader) -> Buffer {
    let default = Buffer::default();
    let Some(At { value, .. }) = at else { return default };
    let directory: PathBuf = match &value.directory {
        Some(at) => {
            let directory = reader.path(at.span, &at.value.text);
            reader.directory_is_there(at.span, &directory);
            directory
        }
        None => default.directory,
    };
    Buffer {
        request: value.request.as_ref().map_or(default.request, |at| at.value.0),
        directory,
        disk_bytes: value.disk.as_ref().map_or(default.disk_bytes, |at| at.value.0),
        ahead_bytes: ahead(value, default.ahead_bytes, reader),
    }
}

fn ahead(buffer: &document::Buffer, default: u64, reader: &mut Reader) -> u64 {
    let on = buffer.answer.as_ref().is_none_or(|at| at.value.0);
    let Some(at) = &buffer.ahead else { return if on { default } else { 0 } };
    if !on {
        let message = "`ahead` has no effect where `answer` is off";
        reader.warn(at.key, message, "leave one of the two out");
        return 0;
    }
    at.value.0
}

/// How requests are spread. By user alone they are only where something proves who that is.
fn balance(at: Option<&At<document::BalanceLeaf>>, reader: &mut Reader) -> Balance {
    let Some(at) = at else { return Balance::default() };
    let by_user = match &at.value.0 {
        Balance::Hash(HashBy::User) => true,
        Balance::Hash(HashBy::First(keys)) => keys.contains(&HashBy::User),
        Balance::Hash(_) | Balance::LeastBusy | Balance::RoundRobin => false,
    };
    if by_user && !reader.identifies {
        let message = "`hash user` never finds one: nothing here can prove who asks";
        reader.warn(at.span, message, "say under `identity:` what proves it");
    }
    at.value.0.clone()
}
