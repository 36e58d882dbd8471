//! Hosts, compared without case, port and trailing dot.

use std::{borrow::Cow, fmt};

use regex::bytes::Regex;

use super::{
    pattern::Segment,
    text::{PatternError, regex},
};

/// DNS allows no more than this many labels in a name.
const LABELS_MAX: usize = 127;

/// A pattern over hosts: exact, with `*` for one whole label, or after `~` a regular expression
/// over the host in lower case.
#[derive(Clone, Debug)]
pub struct HostPattern {
    written: Box<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Labels(Vec<Segment>),
    Regex(Regex),
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads a pattern such as `*.admin.example.com`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let kind = match text.strip_prefix('~') {
            Some(expression) => Kind::Regex(regex(expression)?),
            None => Kind::Labels(labels(text)?),
        };
        Ok(Self { written: text.into(), kind })
    }

    /// Whether the pattern takes the `Host` field `host`.
    pub fn matches(&self, host: &str) -> bool {
        self.takes(&normal_host(host))
    }

    /// As `matches`, for a host that has been through [`normal_host`].
    pub(super) fn takes(&self, host: &str) -> bool {
        match &self.kind {
            Kind::Regex(regex) => regex.is_match(host.as_bytes()),
            Kind::Labels(parts) => {
                let mut labels = host.split('.');
                let all = parts.iter().all(|part| match (part, labels.next()) {
                    (Segment::Literal(text), Some(label)) => **text == *label,
                    (Segment::Any, Some(label)) => !label.is_empty(),
                    (_, None) => false,
                });
                all && labels.next().is_none()
            }
        }
    }

    /// The labels from left to right, unless this is a regular expression.
    pub(super) fn labels(&self) -> Option<&[Segment]> {
        match &self.kind {
            Kind::Labels(labels) => Some(labels),
            Kind::Regex(_) => None,
        }
    }

    /// Whether every host that `other` takes is taken by this one; false when that is not certain.
    pub(super) fn covers(&self, other: &HostPattern) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Labels(a), Kind::Labels(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| *a == Segment::Any || a == b)
            }
            (Kind::Regex(a), Kind::Regex(b)) => a.as_str() == b.as_str(),
            (Kind::Regex(_), Kind::Labels(_)) | (Kind::Labels(_), Kind::Regex(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A host as patterns see it: in lower case, without port and trailing dot.
pub(super) fn normal_host(field: &str) -> Cow<'_, str> {
    let host = without_port(field);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

/// A colon within brackets belongs to an IPv6 address, any other one begins the port.
fn without_port(field: &str) -> &str {
    let address_end = field.rfind(']').unwrap_or(0);
    field[address_end..].find(':').map_or(field, |colon| &field[..address_end + colon])
}

fn labels(text: &str) -> Result<Vec<Segment>, PatternError> {
    let host = normal_host(text);
    if without_port(text) != text {
        return Err(PatternError::Port { without: host.into_owned() });
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let allowed = |b: u8| {
        matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*')
            || bracketed && matches!(b, b'[' | b']' | b':')
    };
    if !host.bytes().all(allowed) || host.split('.').any(str::is_empty) {
        return Err(PatternError::Host { host: text.to_owned() });
    }
    if host.split('.').count() > LABELS_MAX {
        return Err(PatternError::Parts { max: LABELS_MAX });
    }
    let part = |label: &str| match label {
        "*" => Ok(Segment::Any),
        _ if label.contains('*') => Err(PatternError::PartLabel { host: text.to_owned() }),
        _ => Ok(Segment::Literal(label.into())),
    };
    if *host == *"*" {
        return Err(PatternError::PartLabel { host: text.to_owned() });
    }
    host.split('.').map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).expect("a pattern").matches(host)
    }

    #[test]
    fn a_host_compares_without_case_port_and_trailing_dot() {
        for host in
            ["example.com", "EXAMPLE.com", "example.com:8080", "example.com.", "example.com.:1"]
        {
            assert!(takes("Example.com", host), "{host}");
        }
        assert!(!takes("example.com", "www.example.com") && !takes("example.com", ""));
        assert!(takes("[::1]", "[::1]:3000") && !takes("[::1]", "[::2]"));
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(takes("*.admin.example.com", "a.ADMIN.example.com:443"));
        assert!(!takes("*.admin.example.com", "admin.example.com"));
        assert!(!takes("*.admin.example.com", ".admin.example.com"));
        assert!(!takes("*.admin.example.com", "a.b.admin.example.com"));
        assert!(takes("~(^|[.])example[.]com$", "a.b.Example.com"));
    }

    #[test]
    fn a_pattern_that_no_host_can_match_is_refused() {
        for wrong in
            ["", "*", "a*.example.com", "exämple.com", "a..b", "a b", "example.com:80", "a/b"]
        {
            assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
