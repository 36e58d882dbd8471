//! Under which names the control port answers.

use std::net::{IpAddr, Ipv6Addr};

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header::HOST},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::answer::Problem;

/// Refuses requests that ask for any other host than localhost or an IP address.
pub(super) async fn local_names_only(request: Request, next: Next) -> Response {
    let target_is_local = request.uri().authority().is_none_or(|it| is_local(it.as_str()));
    if target_is_local && host_is_local(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Ask for localhost or an IP address: this port answers under no other name.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// Refuses what a page of another site has a browser send. A page can send a POST anywhere without
/// being asked; browsers say so in `Sec-Fetch-Site` or `Origin`, and no other client sends either.
pub(super) async fn own_pages_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site_is_own = text("sec-fetch-site").is_none_or(|it| matches!(it, "same-origin" | "none"));
    let origin_is_own = text("origin").is_none_or(|origin| {
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        is_local(authority)
    });
    if request.method().is_safe() || (site_is_own && origin_is_own) {
        return next.run(request).await;
    }
    let detail = "This port does nothing that a page of another site asks for.";
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

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
