//! Where in a request a token stands.

use std::{borrow::Cow, fmt};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE},
};

use super::Evidence;
use crate::classify::{cookie_value, field_value, parameter_value};

const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");

/// Where in a request a token stands. Values are read as Rack reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A field, behind `Bearer` where that stands in it; in `Authorization` it has to.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(String),
    /// The last parameter of this name.
    Query(String),
    /// Behind this text in one of the protocols that a WebSocket offers.
    Protocol(String),
}

// === impl Place ===

impl Place {
    /// The field that it is in; `None` for the target.
    pub(super) fn field(&self) -> Option<HeaderName> {
        match self {
            Place::Header(name) => Some(name.clone()),
            Place::Cookie(_) => Some(COOKIE),
            Place::Protocol(_) => Some(PROTOCOL),
            Place::Query(_) => None,
        }
    }

    /// What stands there.
    pub(super) fn read<'a>(&self, evidence: &Evidence<'a>) -> Option<Cow<'a, [u8]>> {
        match self {
            Place::Header(name) => header(field_value(evidence.headers, name)?, name),
            Place::Cookie(name) => cookie_value(evidence.headers, name),
            Place::Query(name) => parameter_value(evidence.query?, name),
            Place::Protocol(prefix) => {
                let lines = evidence.headers.get_all(PROTOCOL).iter();
                let mut offered = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
                let offered =
                    offered.find_map(|it| it.trim_ascii().strip_prefix(prefix.as_bytes()))?;
                Some(Cow::Borrowed(offered))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header(name) => write!(f, "header {name}"),
            Place::Cookie(name) => write!(f, "cookie {name}"),
            Place::Query(name) => write!(f, "query parameter {name}"),
            Place::Protocol(prefix) => write!(f, "Sec-WebSocket-Protocol {prefix}…"),
        }
    }
}

/// The token in a field. `Authorization` with another scheme holds none.
fn header<'a>(value: Cow<'a, [u8]>, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    const SCHEME: &[u8] = b"Bearer ";
    let bears = value.len() > SCHEME.len() && value[..SCHEME.len()].eq_ignore_ascii_case(SCHEME);
    match value {
        Cow::Borrowed(value) if bears => Some(Cow::Borrowed(value[SCHEME.len()..].trim_ascii())),
        Cow::Owned(value) if bears => Some(Cow::Owned(value[SCHEME.len()..].trim_ascii().into())),
        value => (name != AUTHORIZATION).then_some(value),
    }
}
