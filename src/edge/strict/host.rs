//! Whether a `Host` names one host that everybody reads the same way.
//!
//! Stricter than RFC 3986: a registered name is made of letters, digits, `-`, `_`, `~` and single
//! dots (one may stand last); percent escapes, sub-delimiters and user information are refused,
//! since no name that resolves has them.

use std::net::Ipv6Addr;

const NAME_BYTES_MAX: usize = 254;

/// Whether `text` is a valid, non-empty host with an optional port.
pub(in crate::edge) fn is_valid(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        match port.strip_prefix(':') {
            Some(port) => return is_port(port),
            None => return port.is_empty(),
        }
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    is_name(host) && port.is_none_or(is_port)
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~' | b'.');
    let labels = name.strip_suffix('.').unwrap_or(name);
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && !labels.split('.').any(str::is_empty)
}

/// An empty port is the default one (RFC 3986 §3.2.3).
fn is_port(port: &str) -> bool {
    port.len() <= 5
        && port.bytes().all(|b| b.is_ascii_digit())
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for good in [
            "a",
            "a.b",
            "a.b.",
            "A.B",
            "web_1",
            "a:80",
            "a:",
            "a:0",
            "a:65535",
            "127.0.0.1:3000",
            "[::1]",
            "[::1]:8080",
            "[::ffff:1.2.3.4]",
            "xn--bcher-kva.example",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn anything_else_is_no_host() {
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a:8080:9090",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@a",
            "a, b",
            "a,b",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[]",
            "a:65536",
            "a:99999",
            "a:x",
            "a:-1",
            "a:+1",
            "a%2eb",
            "a\\b",
            ":80",
            "[::1]:123456",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
        assert!(!is_valid(b"a\x00.b"));
        assert!(!is_valid(b"caf\xe9"));
        assert!(!is_valid("a".repeat(255).as_bytes()));
    }
}
