//! Which fields end here.
//!
//! RFC 9110 §7.6.1: fields that speak about one connection, and those that `Connection` names, are
//! not passed on. Beyond that, some fields are statements that only a trusted proxy or usher itself
//! may make, and some would make Rails or what stands beside it do things on a client's word.

use http::{
    HeaderMap, HeaderName,
    header::{self, CONNECTION},
};
use smallvec::SmallVec;

use crate::http1::lines::Lines;

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes on.
    Passes,
    /// It ends here, whoever sent it.
    Ends,
    /// It goes on when a trusted proxy sent it.
    NeedsTrust,
}

/// Fields that `Connection` cannot remove: usher and Rails rely on them from end to end.
const NEVER_NOMINATED: [HeaderName; 8] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::VIA,
    header::FORWARDED,
];

/// Removes from a request what must not reach Rails.
pub(super) fn strip_request(headers: &mut HeaderMap, lines: &mut Lines, trusted: bool) {
    if headers.is_empty() {
        return;
    }
    let mut ending: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for name in headers.keys() {
        match fate_in_request(name.as_str()) {
            Fate::Passes => {}
            Fate::Ends => ending.push(name.clone()),
            Fate::NeedsTrust if trusted => {}
            Fate::NeedsTrust => ending.push(name.clone()),
        }
    }
    strip(headers, lines, ending);
}

/// Removes from an answer what must not reach the client.
pub(super) fn strip_answer(headers: &mut HeaderMap, lines: &mut Lines) {
    if headers.is_empty() {
        return;
    }
    let mut ending: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for name in headers.keys() {
        if ends_in_answer(name.as_str()) {
            ending.push(name.clone());
        }
    }
    strip(headers, lines, ending);
}

fn strip(headers: &mut HeaderMap, lines: &mut Lines, ending: SmallVec<[HeaderName; 8]>) {
    if headers.contains_key(CONNECTION) {
        let nominated: SmallVec<[HeaderName; 4]> = tokens(headers, &CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .filter(|name| !NEVER_NOMINATED.contains(name))
            .collect();
        lines.remove(&nominated);
        for name in nominated {
            headers.remove(name);
        }
    }
    for name in ending {
        headers.remove(name);
    }
}

/// The comma-separated tokens of a field, over all its lines.
pub(super) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Names arrive in lower case. Most fields leave after one comparison of their first letter.
fn fate_in_request(name: &str) -> Fate {
    match name.as_bytes()[0] {
        b'c' => match name {
            "connection" => Fate::Ends,
            "client-ip" => Fate::NeedsTrust,
            _ => Fate::Passes,
        },
        b'e' if name == "expect" => Fate::Ends,
        b'f' if name == "forwarded" => Fate::Ends,
        b'k' if name == "keep-alive" => Fate::Ends,
        b'p' => match name {
            "proxy" | "proxy-connection" | "proxy-authorization" => Fate::Ends,
            _ => Fate::Passes,
        },
        b't' => match name {
            "te" | "transfer-encoding" => Fate::Ends,
            "true-client-ip" => Fate::NeedsTrust,
            _ => Fate::Passes,
        },
        b'u' if name == "upgrade" => Fate::Ends,
        b'x' => fate_of_extension(name),
        _ => Fate::Passes,
    }
}

fn fate_of_extension(name: &str) -> Fate {
    match name {
        "x-audience" | "x-sendfile-type" | "x-accel-mapping" => Fate::Ends,
        "x-real-ip" | "x-client-ip" | "x-original-url" | "x-rewrite-url" | "x-request-id"
        | "x-request-start" => Fate::NeedsTrust,
        _ if name.starts_with("x-usher-") => Fate::Ends,
        _ if name.starts_with("x-forwarded-") => Fate::NeedsTrust,
        _ => Fate::Passes,
    }
}

fn ends_in_answer(name: &str) -> bool {
    match name.as_bytes()[0] {
        b'c' => name == "connection",
        b'k' => name == "keep-alive",
        b'p' => name == "proxy-connection",
        b't' => matches!(name, "te" | "trailer" | "transfer-encoding"),
        b'u' => name == "upgrade",
        b'x' => name.starts_with("x-usher-"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::names::Known;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.iter().map(parse).collect()
    }

    /// Names in alphabetical order: removing one changes the order of the others, which has no
    /// meaning (RFC 9110 §5.3).
    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[track_caller]
    fn check(trusted: bool, lines: &[(&str, &str)], left: &[&str]) {
        let mut headers = headers(lines);
        strip_request(&mut headers, &mut Lines::default(), trusted);
        let mut left = left.to_vec();
        left.sort_unstable();
        assert_eq!(names(&headers), left);
    }

    #[test]
    fn whatever_is_removed_or_read_by_its_name_lies_in_the_map() {
        use header::{
            ACCESS_CONTROL_REQUEST_METHOD, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRAILER,
        };
        let this = include_str!("hop.rs").split("cfg(test)").next().unwrap();
        let mut removed = 0;
        for text in this.split('"').skip(1).step_by(2) {
            // Some begin longer names.
            for name in [text.to_owned(), format!("{text}a")] {
                let (asked, said) = (fate_in_request(&name) != Fate::Passes, ends_in_answer(&name));
                let upper = name.to_ascii_uppercase();
                assert!(!asked || !Known::of_request(upper.as_bytes()).passes(), "{name}");
                assert!(!said || !Known::of_answer(upper.as_bytes()).passes(), "{name}");
                removed += usize::from(asked) + usize::from(said);
            }
        }
        assert!(removed > 30, "{removed}");
        for name in [
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderName::from_static("idempotency-key"),
            SEC_WEBSOCKET_EXTENSIONS,
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_PROTOCOL,
            SEC_WEBSOCKET_VERSION,
            TRAILER,
            header::VIA,
        ] {
            assert!(!Known::of_request(name.as_str().as_bytes()).passes(), "{name}");
        }
        for name in [
            super::super::X_ACCEL_BUFFERING,
            super::super::X_ACCEL_REDIRECT,
            super::super::X_SENDFILE,
            header::SEC_WEBSOCKET_ACCEPT,
        ] {
            assert!(!Known::of_answer(name.as_str().as_bytes()).passes(), "{name}");
        }
    }

    #[test]
    fn what_speaks_about_the_connection_ends_here() {
        let lines = [
            ("host", "a"),
            ("connection", "keep-alive, X-Secret"),
            ("keep-alive", "5"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("proxy", "http://evil"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ];
        check(true, &lines, &["host", "accept"]);
    }

    #[test]
    fn connection_cannot_remove_what_others_rely_on() {
        let lines =
            [("host", "a"), ("cookie", "a=b"), ("connection", "Host, Cookie, close, bad token")];
        check(false, &lines, &["host", "cookie"]);
    }

    #[test]
    fn a_stranger_cannot_say_what_a_trusted_proxy_may() {
        let lines = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-ssl", "on"),
            ("x-real-ip", "1.2.3.4"),
            ("client-ip", "1.2.3.4"),
            ("x-client-ip", "1.2.3.4"),
            ("true-client-ip", "1.2.3.4"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x-request-id", "a"),
            ("x-request-start", "t=1"),
        ];
        check(false, &lines, &[]);
        let names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
        check(true, &lines, &names);
    }

    #[test]
    fn nobody_speaks_in_ushers_name() {
        let lines = [("x-audience", "admin"), ("x-usher-build", "1"), ("forwarded", "for=1.2.3.4")];
        check(true, &lines, &[]);
    }

    #[test]
    fn an_answer_loses_what_was_meant_for_usher() {
        let lines = [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("x-usher-route", "orders#create"),
            ("x-runtime", "0.1"),
            ("set-cookie", "a=b"),
        ];
        let mut headers = headers(&lines);
        strip_answer(&mut headers, &mut Lines::default());
        assert_eq!(names(&headers), ["set-cookie", "x-runtime"]);
    }
}
