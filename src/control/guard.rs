//! Whom the control port answers: under which names, for which pages, and with which tokens.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{HOST, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    answer::Problem,
    audit::{Audit, Deed},
    keys::{Caller, Denied, Keys},
};
use crate::{config::Role, edge::Connected};

/// How much of a path is written down of a refused request, in characters.
const PATH_MAX: usize = 100;

/// What stands between the control port and whoever reaches it.
#[derive(Debug)]
pub struct Guard {
    /// Who may ask.
    pub keys: Keys,
    /// Where it is written down who changed what, and who was refused.
    pub audit: Audit,
}

/// Where a request of the control port came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// From this address.
    Tcp(SocketAddr),
    /// Over a Unix socket, by a process of this user.
    Unix {
        /// The user's number, as the system tells it.
        uid: Option<u32>,
    },
}

/// Refuses requests that ask for any other host than localhost or an IP address, unless a token is
/// asked for: a page that had its own name resolve to this address has none.
pub(super) async fn local_names_only(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let target_is_local = request.uri().authority().is_none_or(|it| is_local(it.as_str()));
    if (target_is_local && host_is_local(request.headers())) || guard.keys.are_asked_for() {
        return next.run(request).await;
    }
    let detail = "Ask for localhost or an IP address: this port answers under no other name.";
    guard.refuse(&request, None, StatusCode::MISDIRECTED_REQUEST, detail)
}

/// Refuses what a page of another site has a browser send. A page can send a POST anywhere without
/// being asked; browsers say so in `Sec-Fetch-Site` or `Origin`, and no other client sends either.
pub(super) async fn own_pages_only(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site_is_own = text("sec-fetch-site").is_none_or(|it| matches!(it, "same-origin" | "none"));
    let origin_is_own = text("origin").is_none_or(|origin| {
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        // Another port of this machine is another site: a development server, say.
        text("host").is_some_and(|host| host.eq_ignore_ascii_case(authority))
    });
    if request.method().is_safe() || (site_is_own && origin_is_own) {
        return next.run(request).await;
    }
    let detail = "This port does nothing that a page of another site asks for.";
    guard.refuse(&request, None, StatusCode::FORBIDDEN, detail)
}

/// Refuses who shows no token where one is asked for, and who asks for more than theirs allows.
pub(super) async fn known_callers_only(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match guard.keys.caller(request.headers()) {
        Ok(caller) => caller,
        Err(denied) => return guard.deny(&request, denied),
    };
    let needed = if request.method().is_safe() { Role::Viewer } else { Role::Operator };
    if caller.role < needed {
        let detail =
            "This token is a viewer's: it shows things, and changes none. Use an operator's.";
        return guard.refuse(&request, Some(&caller), StatusCode::FORBIDDEN, detail);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

// === impl Whence ===

impl Whence {
    /// Who is at the other end of `socket`.
    pub(super) fn of(socket: &Connected) -> Self {
        match socket {
            Connected::Tcp(_, from) => Whence::Tcp(*from),
            Connected::Unix(socket) => {
                let credentials = rustix::net::sockopt::socket_peercred(socket);
                Whence::Unix { uid: credentials.ok().map(|it| it.uid.as_raw()) }
            }
        }
    }

    /// How somebody is called who comes this way and need not say who it is.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Whence::Tcp(_) => "loopback",
            Whence::Unix { .. } => "unix",
        }
    }
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whence::Tcp(address) => address.fmt(f),
            Whence::Unix { uid: Some(uid) } => write!(f, "unix:uid={uid}"),
            Whence::Unix { uid: None } => f.write_str("unix"),
        }
    }
}

// === impl Guard ===

impl Guard {
    fn deny(&self, request: &Request, denied: Denied) -> Response {
        let detail = match denied {
            Denied::Missing => {
                "This port asks for a token: `Authorization: Bearer TOKEN`; commands take it from \
                 $USHER_TOKEN or --token-file."
            }
            Denied::Unknown => {
                "This port knows no such token: it may have been changed, or its file cannot be \
                 read by usher (its log says so)."
            }
        };
        let mut response = self.refuse(request, None, StatusCode::UNAUTHORIZED, detail);
        let scheme = HeaderValue::from_static("Bearer realm=\"usher\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        response
    }

    /// The answer to what is refused, which is written down.
    fn refuse(
        &self,
        request: &Request,
        caller: Option<&Caller>,
        status: StatusCode,
        detail: &'static str,
    ) -> Response {
        let who = caller.and_then(|caller| caller.token.as_ref());
        let path: String = request.uri().path().chars().take(PATH_MAX).collect();
        self.audit.note(&Deed {
            who: who.map_or_else(|| "nobody".to_owned(), ToString::to_string),
            from: request.extensions().get::<Whence>().map(ToString::to_string),
            action: format!("{} {path}", request.method()),
            result: "refused",
            detail: Some(format!("{} {detail}", status.as_u16())),
            ..Deed::default()
        });
        Problem::new(status, detail).into_response()
    }
}

// === free functions ===

/// One `Host`, and a local one. No browser leaves it out, but neither does any other client.
fn host_is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let only = hosts.next().filter(|_| hosts.next().is_none());
    only.and_then(|host| host.to_str().ok()).is_some_and(is_local)
}

/// Whether `authority` is localhost or an IP address, with any or no port.
fn is_local(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_fine && address.parse::<Ipv6Addr>().is_ok();
    }
    let host = match authority.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return false,
        None => authority,
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_and_addresses_are_local_with_any_or_no_port() {
        for host in [
            "localhost",
            "LocalHost:9900",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:1",
            "10.1.2.3:65535",
            "[::1]",
            "[::1]:9900",
            "[fe80::1]:80",
        ] {
            assert!(is_local(host), "{host}");
        }
    }

    #[test]
    fn any_other_name_is_not_local() {
        for host in [
            "",
            "usher.example",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "localhost@attacker.example",
            "127.0.0.1:80@attacker.example",
            "attacker.example:127",
            "[::1",
            "[::1]x",
            "[attacker.example]:80",
            "::1",
            "127.1",
            "localhost ",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
