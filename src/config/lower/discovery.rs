//! Names that are looked up by asking name servers.

use std::time::Duration;

use super::{bounded, house::positive};
use crate::config::{
    Dns, Family, Resolver,
    defaults::is_host_name,
    document::{self, At, Count, Reader, Words},
    source::Span,
};

/// As many as glibc takes the first of, and more than anybody writes.
const SERVERS_MAX: usize = 8;
const SEARCH_MAX: usize = 32;
const NDOTS_MAX: u32 = 15;
const ATTEMPTS_MAX: u32 = 10;
const SERVER_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is asked for; `None` where that was complained about.
pub(super) fn dns(at: &At<document::Dns>, reader: &mut Reader) -> Option<Dns> {
    let document::Dns { name, port, srv, family, .. } = &at.value;
    let family = family.as_ref().map_or(Family::Auto, |at| at.value.0);
    match (name, srv) {
        (Some(name), None) => {
            let host = host_name(name, reader);
            let port = port_of(port.as_ref(), at, reader);
            Some(Dns::Hosts { name: host?, port: port?, family })
        }
        (None, Some(srv)) => {
            if let Some(port) = port {
                let hint = "remove it: SRV records tell the port of each target";
                reader.error_with(port.key, "`port` does not go with `srv`", hint);
            }
            let name = service_name(srv, reader)?;
            Some(Dns::Service { name, family })
        }
        (Some(_), Some(srv)) => {
            let hint = "write two endpoints, one with each";
            reader.error_with(srv.key, "`name` and `srv` are two things", hint);
            None
        }
        (None, None) => {
            if !["name", "srv"].iter().any(|key| at.value.written.contains(key)) {
                let hint =
                    "write `dns: { name: web, port: 3000 }` or `dns: { srv: _http._tcp.web }`";
                reader.error_with(at.span, "a `name` or `srv` is missing here", hint);
            }
            None
        }
    }
}

/// How name servers are asked.
pub(super) fn resolver(at: Option<&At<document::Resolver>>, reader: &mut Reader) -> Resolver {
    let default = Resolver::default();
    let Some(At { value, key, .. }) = at else { return default };
    let servers = value.servers.as_ref().map_or_else(Vec::new, |at| {
        bounded(at.value.items.len(), SERVERS_MAX, "name servers", at.key, reader);
        at.value.items.iter().map(|at| at.value.0).collect()
    });
    let search = value.search.as_ref().map(|at| {
        bounded(at.value.items.len(), SEARCH_MAX, "domains", at.key, reader);
        at.value.items.iter().filter_map(|at| host_name(at, reader)).collect()
    });
    let ttl = value.ttl.as_ref().map(|at| &at.value);
    let ttl_min = positive(ttl.and_then(|ttl| ttl.min.as_ref()), default.ttl_min, reader);
    let ttl_max = positive(ttl.and_then(|ttl| ttl.max.as_ref()), default.ttl_max, reader);
    if ttl_min > ttl_max {
        let span = value.ttl.as_ref().map_or(*key, |at| at.span);
        reader.error(span, "the shortest `ttl` is longer than the longest");
    }
    let timeout = value.timeout.as_ref().map(|at| positive(Some(at), SERVER_WAIT_MAX, reader));
    if let Some(at) = value.timeout.as_ref().filter(|at| at.value.0 > SERVER_WAIT_MAX) {
        reader.error(at.span, "a name server is waited for `30s` at most");
    }
    Resolver {
        servers,
        timeout,
        attempts: at_most(value.attempts.as_ref(), ATTEMPTS_MAX, reader),
        search,
        ndots: at_most(value.ndots.as_ref(), NDOTS_MAX, reader),
        ttl_min,
        ttl_max,
    }
}

fn at_most(at: Option<&At<Count>>, most: u32, reader: &mut Reader) -> Option<u32> {
    let at = at?;
    if at.value.0 > most {
        reader.error(at.span, format!("{most} is the most here"));
    }
    Some(at.value.0)
}

fn port_of(port: Option<&At<Count>>, dns: &At<document::Dns>, reader: &mut Reader) -> Option<u16> {
    let Some(at) = port else {
        if !dns.value.written.contains(&"port") {
            let hint = "write Puma's port: a name has none; SRV records (`srv:`) tell theirs";
            reader.error_with(dns.span, "`port` is missing here", hint);
        }
        return None;
    };
    let port = u16::try_from(at.value.0).ok();
    if port.is_none() {
        reader.error(at.span, "a port is at most 65535");
    }
    port
}

fn host_name(at: &At<Words>, reader: &mut Reader) -> Option<String> {
    let text = at.value.0.as_str();
    if !is_host_name(text) {
        return refuse(text, at.span, "write for example `web-customer`", reader);
    }
    Some(text.to_ascii_lowercase())
}

/// RFC 2782: the service and the protocol, each after an underscore.
fn service_name(at: &At<Words>, reader: &mut Reader) -> Option<String> {
    let text = at.value.0.as_str();
    let mut labels = text.split('.');
    let marked = labels.by_ref().take(2).filter(|label| label.len() > 1 && label.starts_with('_'));
    if marked.count() != 2 || !is_host_name(text) || labels.next().is_none_or(str::is_empty) {
        return refuse(text, at.span, "write for example `_http._tcp.web-customer`", reader);
    }
    Some(text.to_ascii_lowercase())
}

fn refuse(text: &str, span: Span, hint: &str, reader: &mut Reader) -> Option<String> {
    reader.error_with(span, format!("`{text}` is no name that DNS can have"), hint);
    None
}
