//! What a request asks for: the target, checked and brought into origin-form.
//!
//! A target is forwarded byte for byte, so only bytes pass that every reader takes for themselves.
//! Browsers (WHATWG URL) send `[ ] | ^` raw in paths, and these as well as `` \ ` { } `` raw in
//! queries; those pass there. `" < > #`, blanks, controls and bytes over 0x7e pass nowhere.

use bytes::{Bytes, BytesMut};
use http::{Method, Uri};

use crate::fault::Fault;

/// Reads the target `raw` of a request with `method` whose one Host is `host`.
pub(in crate::edge) fn read(method: &Method, raw: &Bytes, host: &[u8]) -> Result<Uri, Fault> {
    match raw.first() {
        Some(b'/') => origin(raw.clone()),
        Some(b'*') if raw.len() == 1 && method == Method::OPTIONS => Ok(Uri::from_static("*")),
        _ => absolute(method, raw, host),
    }
}

fn origin(target: Bytes) -> Result<Uri, Fault> {
    check(&target)?;
    // It fails beyond 65,534 bytes, which a limit may allow and the type cannot hold.
    Uri::from_maybe_shared(target).map_err(|_| Fault::TargetTooLong)
}

/// Whether `target` is one in origin-form.
pub(in crate::edge) fn check(target: &[u8]) -> Result<(), Fault> {
    if target.first() != Some(&b'/') {
        return Err(Fault::BadTarget);
    }
    // One look at each byte: every request comes through here.
    let mut least = IN_PATH;
    for &byte in target {
        if STANDS[usize::from(byte)] < least {
            let path = least == IN_PATH;
            let ambiguous = path && byte == b'\\';
            return Err(if ambiguous { Fault::AmbiguousPath } else { Fault::BadTarget });
        }
        if byte == b'?' {
            least = IN_QUERY;
        }
    }
    Ok(())
}

/// RFC 9112 §3.2.2, for the two schemes that are ours and the one host that was asked for.
fn absolute(method: &Method, raw: &Bytes, host: &[u8]) -> Result<Uri, Fault> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| raw.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
        .ok_or(Fault::BadTarget)?;
    let rest = raw.slice(scheme.len()..);
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    if !rest[..end].eq_ignore_ascii_case(host) {
        return Err(Fault::BadTarget);
    }
    let target = rest.slice(end..);
    match target.first() {
        Some(b'/') => origin(target),
        // RFC 9112 §3.2.4: without a path, OPTIONS asks about the server itself.
        None if method == Method::OPTIONS => Ok(Uri::from_static("*")),
        None => Ok(Uri::from_static("/")),
        Some(_) => {
            let mut rooted = BytesMut::with_capacity(target.len() + 1);
            rooted.extend_from_slice(b"/");
            rooted.extend_from_slice(&target);
            origin(rooted.freeze())
        }
    }
}

const NOWHERE: u8 = 0;
const IN_QUERY: u8 = 1;
/// In a path, and in a query as well.
const IN_PATH: u8 = 2;

/// Where a byte may stand.
const STANDS: [u8; 256] = {
    let mut stands = [NOWHERE; 256];
    let mut byte = 0;
    while byte < 256 {
        stands[byte] = match byte as u8 {
            b'\\' | b'`' | b'{' | b'}' => IN_QUERY,
            0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x7e => IN_PATH,
            _ => NOWHERE,
        };
        byte += 1;
    }
    stands
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, raw: &'static str) -> Result<String, Fault> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        read(&method, &Bytes::from_static(raw.as_bytes()), b"a.b:80").map(|uri| uri.to_string())
    }

    #[test]
    fn a_target_goes_on_byte_for_byte() {
        for same in [
            "/",
            "//admin",
            "///",
            "/a//b",
            "/%2e%2e/admin",
            "/a%2Fb",
            "/a;b=c",
            "/a?",
            "/a??b",
            "/[x]|^",
            "/a?q={\"a".trim_end_matches("\"a"),
            "/a?x=%zz&y=[1]&z=a|b^c`d\\e{f}",
            "/a?b/../c",
            "/~'()*!$&+,=:@",
        ] {
            assert_eq!(check("GET", same), Ok(same.to_owned()), "{same}");
        }
    }

    #[test]
    fn what_stands_in_a_query_alone_stands_nowhere_ahead_of_it() {
        for byte in 0..=255 {
            let (in_path, in_query) = ([b'/', b'a', byte], [b'/', b'?', byte]);
            let query = matches!(byte, 0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x7e);
            let path = query && !matches!(byte, b'\\' | b'`' | b'{' | b'}');
            assert_eq!(super::check(&in_path).is_ok(), path, "{byte}");
            assert_eq!(super::check(&in_query).is_ok(), query, "{byte}");
        }
    }

    #[test]
    fn an_absolute_target_for_the_same_host_loses_its_front() {
        for (raw, target) in [
            ("http://a.b:80/x?y", "/x?y"),
            ("HTTPS://A.B:80/x", "/x"),
            ("http://a.b:80", "/"),
            ("http://a.b:80?x", "/?x"),
        ] {
            assert_eq!(check("GET", raw), Ok(target.to_owned()), "{raw}");
        }
        assert_eq!(check("OPTIONS", "http://a.b:80"), Ok("*".to_owned()));
        assert_eq!(check("OPTIONS", "*"), Ok("*".to_owned()));
    }

    #[test]
    fn what_is_no_target_of_ours_is_refused() {
        for raw in [
            "*",
            "*/x",
            "admin",
            "admin/a",
            "host:80",
            "http://other/",
            "http://a.b/",
            "ftp://a.b:80/",
            "http://u:p@a.b:80/",
            "http://u@a.b:80/",
            "http:/a",
            "http://",
            "/a#b",
            "/a?b#c",
            "http://a.b:80#x",
            "/a b",
            "/\"",
            "/<",
            "/>",
            "/{",
            "/}",
            "/`",
            "/a?<",
            "/a?\"",
            "/é",
            "/a?é",
            "?a",
        ] {
            assert_eq!(check("GET", raw), Err(Fault::BadTarget), "{raw}");
        }
        assert_eq!(check("GET", "/a\\b"), Err(Fault::AmbiguousPath));
        assert_eq!(check("OPTIONS", "*/x"), Err(Fault::BadTarget));
    }
}
