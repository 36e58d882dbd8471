//! Ports, limits, log and the end: everything that is about usher itself.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::HeaderName;

use super::{
    LISTENERS_MAX, bounded,
    control::{self, CONTROL},
    manners, place, tls,
};
use crate::{
    bind::{Access, Bind},
    config::{
        AccessLog, Drain, Limits, Listener, Operators,
        document::{self, At, Auto, Count, Document, Off, Or, Port, Reader, Size, Wait},
        source::Span,
    },
    peer::Network,
};

const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const WORKERS_MAX: u32 = 1024;
/// The least memory for bodies.
const BUFFERS_BYTES_MIN: u64 = 1 << 20;
/// How many requests are remembered when nothing is written.
const WHY_REQUESTS: usize = 10_000;
/// The most: 256 MiB.
const WHY_REQUESTS_MAX: usize = 1_000_000;

/// What is about usher itself.
pub(super) struct House {
    pub(super) listeners: Vec<Listener>,
    pub(super) control: Option<Bind>,
    pub(super) control_access: Access,
    pub(super) operators: Operators,
    pub(super) metrics: Option<Bind>,
    pub(super) metrics_access: Access,
    pub(super) trusted_proxies: Vec<(Network, Span)>,
    pub(super) underscore_headers: Vec<HeaderName>,
    pub(super) fault_header: bool,
    pub(super) workers: Option<usize>,
    pub(super) access_log: AccessLog,
    pub(super) why_requests: usize,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) drain: Drain,
}

/// Lowers it.
pub(super) fn lower(document: &Document, reader: &mut Reader) -> House {
    limits(document.limits.as_ref(), reader);
    let listeners = listeners(document, reader);
    let (control, control_access, operators) = control::lower(document.control.as_ref(), reader);
    ports_are_distinct(document, reader);
    House {
        listeners,
        control,
        control_access,
        operators,
        metrics_access: metrics_access(document.metrics.as_ref(), reader),
        metrics: port(document.metrics.as_ref(), reader),
        trusted_proxies: document.trusted_proxies.as_ref().map_or_else(Vec::new, |networks| {
            networks.value.items.iter().map(|at| (at.value.pattern, at.span)).collect()
        }),
        underscore_headers: document.underscore_headers.as_ref().map_or_else(Vec::new, |names| {
            names.value.items.iter().map(|at| at.value.pattern.clone()).collect()
        }),
        fault_header: document.fault_header.as_ref().is_none_or(|at| at.value.0),
        workers: workers(document.workers.as_ref(), reader),
        access_log: access_log(document.access_log.as_ref(), reader),
        why_requests: why(document.why.as_ref(), reader),
        state_dir: document.state_dir.as_ref().map(|at| reader.path(at.span, &at.value.text)),
        drain: drain(document.drain.as_ref()),
    }
}

fn listeners(document: &Document, reader: &mut Reader) -> Vec<Listener> {
    let Some(listeners) = &document.listeners else { return Vec::new() };
    if listeners.value.empty {
        let hint = "write `- bind: 0.0.0.0:8080`";
        reader.error_with(listeners.span, "usher needs at least one listener", hint);
    }
    bounded(listeners.value.items.len(), LISTENERS_MAX, "listeners", listeners.key, reader);
    let mut lowered = Vec::new();
    for listener in &listeners.value.items {
        let limits = limits(listener.value.limits.as_ref(), reader);
        let tls = listener.value.tls.as_ref().map(|at| tls::server(at, reader));
        // A listener whose TLS cannot be had is left out: there is an error, and nothing listens.
        let tls = match tls {
            None => None,
            Some(None) => continue,
            Some(tls) => tls.map(Arc::new),
        };
        if let Some(bind) = &listener.value.bind {
            let h2c = listener.value.h2c.as_ref().filter(|h2c| h2c.value.0);
            if let Some(at) = h2c.filter(|_| tls.is_some()) {
                let message = "`h2c` has no effect beside `tls`, where HTTP/2 is offered anyway";
                reader.warn(at.key, message, "remove it");
            }
            let written = (listener.value.mode.as_ref(), listener.value.group.as_ref());
            let access = place::access(bind, written, Access::GROUP, reader);
            let bind = &place::bind(bind, reader);
            // Two of one address are an error, unless it stands for any port.
            let alike = lowered.iter().filter(|it: &&Listener| it.bind.is_written_like(bind));
            let bind = bind.clone().after(alike.count());
            lowered.push(Listener {
                bind,
                access,
                h2c: h2c.is_some(),
                limits,
                tls,
                proxy_protocol: manners::proxy_protocol(&listener.value, document, reader),
                redirect: manners::redirect(&listener.value, reader),
                hsts: manners::hsts(&listener.value, reader),
            });
        }
    }
    lowered
}

fn port(at: Option<&At<Or<Off, Port>>>, reader: &Reader) -> Option<Bind> {
    own_port(at, METRICS, |port| port.bind.as_ref(), reader).map(|(bind, _)| bind)
}

fn metrics_access(at: Option<&At<Or<Off, Port>>>, reader: &mut Reader) -> Access {
    let Some(At { value: Or::Value(port), .. }) = at else { return Access::GROUP };
    let written = (port.mode.as_ref(), port.group.as_ref());
    let access = port.bind.as_ref().map(|at| place::access(at, written, Access::GROUP, reader));
    access.unwrap_or(Access::GROUP)
}

/// The address of one of usher's own ports, and where it stands when it was written.
fn own_port<T>(
    at: Option<&At<Or<Off, T>>>,
    default: SocketAddr,
    bind: impl Fn(&T) -> Option<&At<document::Bind>>,
    reader: &Reader,
) -> Option<(Bind, Option<Span>)> {
    match at {
        Some(At { value: Or::Word(_), .. }) => None,
        Some(At { value: Or::Value(port), span, .. }) => match bind(port) {
            Some(at) => Some((place::bind(at, reader), Some(at.span))),
            None => Some((default.into(), Some(*span))),
        },
        None => Some((default.into(), None)),
    }
}

fn ports_are_distinct(document: &Document, reader: &mut Reader) {
    let listeners = document.listeners.iter().flat_map(|list| &list.value.items);
    let binds = listeners.filter_map(|listener| listener.value.bind.as_ref());
    let binds: Vec<_> = binds.map(|at| (place::bind(at, reader), at.span)).collect();
    let mut taken: Vec<(Bind, Option<Span>)> = Vec::new();
    let mut take = |address: Bind, span: Option<Span>, reader: &mut Reader| {
        let clash = taken.iter().find(|(other, _)| overlap(other, &address));
        let message = match (clash, span) {
            (Some((first_address, Some(first))), Some(span)) => {
                let place = reader.place(*first, span);
                let message = match first_address == &address {
                    true => format!("{address} is bound twice, first {place}"),
                    false => format!("{address} and {first_address}, {place}, are one port"),
                };
                Some((span, message))
            }
            (Some((_, span)), other) => other.or(*span).map(|span| {
                (span, format!("the control or metrics port is at {address} by default"))
            }),
            (None, _) => None,
        };
        taken.push((address, span));
        if let Some((span, message)) = message {
            reader.error_with(span, message, "give each its own port");
        }
    };
    for (bind, span) in binds {
        take(bind, Some(span), reader);
    }
    let control = document.control.as_ref();
    let control = own_port(control, CONTROL, |port| port.bind.as_ref(), reader);
    let metrics = document.metrics.as_ref();
    let metrics = own_port(metrics, METRICS, |port| port.bind.as_ref(), reader);
    for (address, span) in control.into_iter().chain(metrics) {
        take(address, span, reader);
    }
}

/// Whether the system would refuse one after the other.
fn overlap(one: &Bind, other: &Bind) -> bool {
    let (Bind::Tcp(one), Bind::Tcp(other)) = (one, other) else {
        return one.path().is_some() && one == other;
    };
    let wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    // `[::]` takes IPv4 as well.
    let both = |it: &SocketAddr| it.is_ipv6() && it.ip().is_unspecified();
    let family = one.is_ipv4() == other.is_ipv4();
    let one_place = both(one) || both(other) || family && (wildcard || one.ip() == other.ip());
    one.port() == other.port() && one_place
}

fn workers(at: Option<&At<Or<Auto, Count>>>, reader: &mut Reader) -> Option<usize> {
    let at = at?;
    let Or::Value(Count(count)) = at.value else { return None };
    if count > WORKERS_MAX {
        reader.error(at.span, format!("{count} workers are more than the most, {WORKERS_MAX}"));
    }
    usize::try_from(count).ok()
}

/// How many requests are remembered.
fn why(at: Option<&At<Or<Off, document::Why>>>, reader: &mut Reader) -> usize {
    let why = match at.map(|at| &at.value) {
        None => return WHY_REQUESTS,
        Some(Or::Word(_)) => return 0,
        Some(Or::Value(why)) => why,
    };
    let Some(At { value: Count(count), span, .. }) = &why.requests else { return WHY_REQUESTS };
    bounded(*count as usize, WHY_REQUESTS_MAX, "requests to remember", *span, reader);
    *count as usize
}

fn access_log(at: Option<&At<Or<Off, document::AccessLog>>>, reader: &mut Reader) -> AccessLog {
    let log = match at.map(|at| &at.value) {
        None => return AccessLog::Stdout,
        Some(Or::Word(_)) => return AccessLog::Off,
        Some(Or::Value(log)) => log,
    };
    if let Some(redact) = &log.redact {
        let message = "`redact` comes with a later version: secrets in paths would be logged";
        let hint = "write `access_log: off` where paths carry secrets";
        reader.error_with(redact.key, message, hint);
    }
    let Some(path) = &log.path else { return AccessLog::Stdout };
    match path.value.text.as_str() {
        "stdout" => AccessLog::Stdout,
        "off" => AccessLog::Off,
        text => {
            let file = reader.path(path.span, text);
            if let Some(parent) = file.parent() {
                reader.directory_is_there(path.span, parent);
            }
            AccessLog::File(file)
        }
    }
}

fn drain(at: Option<&At<document::Drain>>) -> Drain {
    let default = Drain::default();
    let Some(At { value, .. }) = at else { return default };
    let or = |at: &Option<At<Wait>>, default| at.as_ref().map_or(default, |at| at.value.0);
    Drain {
        grace: or(&value.grace, default.grace),
        requests: or(&value.requests, default.requests),
        tunnels: or(&value.tunnels, default.tunnels),
    }
}

/// A listener's limits have been laid over the configuration's before they were read.
fn limits(at: Option<&At<document::Limits>>, reader: &mut Reader) -> Limits {
    let default = Limits::default();
    let Some(At { value, .. }) = at else { return default };
    let mut wait = |at: &Option<At<Wait>>, default| positive(at.as_ref(), default, reader);
    let handshake_wait = wait(&value.handshake_wait, default.handshake_wait);
    let head_wait = wait(&value.head_wait, default.head_wait);
    let write_wait = wait(&value.write_wait, default.write_wait);
    let keep_alive = wait(&value.keep_alive, default.keep_alive);
    let age = wait(&value.age, default.age);
    let tunnel_idle = wait(&value.tunnel_idle, default.tunnel_idle);
    let count =
        |at: &Option<At<Count>>, default| at.as_ref().map_or(default, |at| at.value.0.into());
    let limits = Limits {
        connections: match &value.connections {
            Some(At { value: Or::Value(Count(count)), .. }) => Some(u64::from(*count)),
            Some(At { value: Or::Word(_), .. }) | None => None,
        },
        per_client: count(&value.per_client, default.per_client),
        head_bytes: room(value.head.as_ref(), default.head_bytes, reader),
        headers: count(&value.headers, default.headers),
        target_bytes: room(value.target.as_ref(), default.target_bytes, reader),
        buffers_bytes: buffers(value.buffers.as_ref(), reader),
        body_bytes: value.body.as_ref().map_or(default.body_bytes, |at| at.value.0),
        handshakes: count(&value.handshakes, default.handshakes),
        handshake_wait,
        head_wait,
        body_rate: value.body_rate.as_ref().map_or(default.body_rate, |at| at.value.0),
        write_wait,
        keep_alive,
        age,
        tunnels: count(&value.tunnels, default.tunnels),
        tunnel_idle,
    };
    if let Some(at) = value.target.as_ref().or(value.head.as_ref())
        && limits.target_bytes > limits.head_bytes
    {
        let message = "`target` is larger than `head`, which holds it";
        reader.warn(at.key, message, "raise `head` or lower `target`");
    }
    limits
}

/// The ceiling on the memory of bodies; below 1 MiB nobody could be served at a time.
fn buffers(at: Option<&At<Or<Auto, Size>>>, reader: &mut Reader) -> Option<u64> {
    let At { value: Or::Value(Size(bytes)), span, .. } = at? else { return None };
    if *bytes < BUFFERS_BYTES_MIN {
        reader.error(*span, "the memory for bodies is at least 1MiB");
    }
    Some(*bytes)
}

/// A head or target of less than 256 bytes, or of more than 1 MiB for each connection.
fn room(at: Option<&At<Size>>, default: u64, reader: &mut Reader) -> u64 {
    let Some(at) = at else { return default };
    if !(256..=1 << 20).contains(&at.value.0) {
        reader.error(at.span, "this size must lie between 256B and 1MiB");
    }
    at.value.0
}

/// A duration that may not be zero.
pub(super) fn positive(at: Option<&At<Wait>>, default: Duration, reader: &mut Reader) -> Duration {
    let Some(at) = at else { return default };
    if at.value.0.is_zero() {
        let hint = "leave the key out for the default; there is no way to wait for ever";
        reader.error_with(at.span, "this duration may not be zero", hint);
        return default;
    }
    at.value.0
}
