//! Whether a `Host` names one host that everybody reads the same way.
//!
//! Stricter than RFC 3986: a registered name is made of letters, digits, `-`, `_`, `~` and single
//! dots (one may stand last); percent escapes, sub-delimiters and user information are refused,
//! since no name that resolves has them.

use std::net::Ipv6Addr;

const NAME_BYTES_MAX: usize = 254;

const STANDS_IN_NAME: [bool; 256] = {
    let mut stands = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let it = byte as u8;
        stands[byte] = it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'~' | b'.');
        byte += 1;
    }
    stands
};

/// Whether `text` is a valid, non-empty host with an optional port.
pub(in crate::edge) fn is_valid(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        return is_literal(rest);
    }
    let name = name_length(text);
    (1..=NAME_BYTES_MAX).contains(&name)
        && match &text[name..] {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

/// An IPv6 address after its opening bracket.
fn is_literal(rest: &[u8]) -> bool {
    let Ok(rest) = std::str::from_utf8(rest) else { return false };
    let Some((address, port)) = rest.split_once(']') else { return false };
    let port = match port.strip_prefix(':') {
        Some(port) => is_port(port.as_bytes()),
        None => port.is_empty(),
    };
    port && address.parse::<Ipv6Addr>().is_ok()
}

/// How far the name goes that `text` begins with; one look at each byte, since every request comes
/// through here.
fn name_length(text: &[u8]) -> usize {
    let mut before = b'.';
    for (at, &byte) in text.iter().enumerate() {
        if !STANDS_IN_NAME[usize::from(byte)] || byte == b'.' && before == b'.' {
            return at;
        }
        before = byte;
    }
    text.len()
}

/// An empty port is the default one (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    let digits = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    digits && port.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= 0xffff
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
