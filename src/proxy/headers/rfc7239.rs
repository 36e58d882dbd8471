//! `Forwarded` (RFC 7239), read from trusted proxies and never passed on.

use http::{HeaderMap, header::FORWARDED};

/// What one proxy said about the request that it received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// `for`: who asked it.
    pub(super) client: Option<String>,
    /// `proto`: how.
    pub(super) proto: Option<String>,
    /// `host`: for which host.
    pub(super) host: Option<String>,
}

/// Every hop, the one nearest to the client first. Empty when a line cannot be read: half of a
/// chain is worse than none.
pub(super) fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops = Vec::new();
    for line in headers.get_all(FORWARDED) {
        let Some(line) = line.to_str().ok().and_then(read_line) else { return Vec::new() };
        hops.extend(line);
    }
    hops
}

fn read_line(line: &str) -> Option<Vec<Hop>> {
    split(line, b',').map(read_hop).collect()
}

fn read_hop(element: &str) -> Option<Hop> {
    let mut hop = Hop::default();
    for pair in split(element, b';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value)?;
        match name.to_ascii_lowercase().as_str() {
            "for" => hop.client = Some(value),
            "proto" => hop.proto = Some(value.to_ascii_lowercase()),
            "host" => hop.host = Some(value),
            _ => {}
        }
    }
    Some(hop)
}

/// Parts between `separator`s that stand outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !quoted && character == char::from(separator)
    })
}

/// A token as it is, or a quoted string without its quotes and escapes.
fn unquote(value: &str) -> Option<String> {
    let Some(opened) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let quoted = opened.strip_suffix('"')?;
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Vec<(Option<String>, Option<String>, Option<String>)> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, http::HeaderValue::from_static(line));
        }
        hops(&headers).into_iter().map(|hop| (hop.client, hop.proto, hop.host)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn hops_are_read_in_order_over_all_lines() {
        let lines = ["for=192.0.2.60;proto=HTTPS;by=203.0.113.43, for=10.0.0.1", "host=a.example"];
        let expected = [
            (some("192.0.2.60"), some("https"), None),
            (some("10.0.0.1"), None, None),
            (None, None, some("a.example")),
        ];
        assert_eq!(read(&lines), expected);
    }

    #[test]
    fn quoted_values_may_hold_separators() {
        let lines = [r#"For="[2001:db8:cafe::17]:4711"; host="a\",b;c""#];
        assert_eq!(read(&lines), [(some("[2001:db8:cafe::17]:4711"), None, some("a\",b;c"))]);
    }

    #[test]
    fn a_chain_that_cannot_be_read_is_none() {
        assert_eq!(read(&["for=1.1.1.1", "for"]), []);
        assert_eq!(read(&["for=\"1.1.1.1"]), []);
    }
}
