//! Who a request is for: pure functions over a request's facts.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method};

/// What a decision may rest on. Borrowed from the request, so that deciding copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The target's path as it was sent, without the query.
    pub path: &'a str,
    /// The target's query as it was sent, without the `?`.
    pub query: Option<&'a str>,
    /// The `Host` field as it was sent.
    pub host: &'a str,
    /// The request's fields.
    pub headers: &'a HeaderMap,
    /// Who asks, after trusted proxies have been believed.
    pub client: IpAddr,
}

/// One matcher group of an audience: every one of `all` must match and none of `not` may.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// As it was written, for people: `path /admin/**`, or `path /x and header X-App: driver`.
    pub label: Arc<str>,
    /// The line where it stands.
    pub line: usize,
    /// All of these must match. Never empty unless `not` holds something.
    pub all: Vec<Matcher>,
    /// None of these may match.
    pub not: Vec<Matcher>,
}

/// One condition; any of its values satisfies it.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// The path as Rails will see it.
    Path(Vec<PathPattern>),
    /// The host, without case and port.
    Host(Vec<HostPattern>),
    /// The method.
    Method(Vec<Text>),
    /// A field of the head; repeated ones joined with `, `.
    Header(http::HeaderName, Vec<Text>),
    /// A cookie; the first of that name.
    Cookie(String, Vec<Text>),
    /// A parameter of the query; the last of that name.
    Query(String, Vec<Text>),
    /// Networks of the client.
    Client(Vec<ipnet::IpNet>),
}

/// A pattern over paths.
#[derive(Clone, Debug)]
pub struct PathPattern(());

/// A pattern over hosts.
#[derive(Clone, Debug)]
pub struct HostPattern(());

/// A pattern over a whole value.
#[derive(Clone, Debug)]
pub enum Text {
    /// The value itself.
    Exact(String),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

// === impl PathPattern ===

impl PathPattern {
    /// Reads a pattern such as `/admin/**`.
    pub fn parse(_text: &str) -> Result<Self, PatternError> {
        Ok(Self(()))
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads a pattern such as `*.admin.example.com`.
    pub fn parse(_text: &str) -> Result<Self, PatternError> {
        Ok(Self(()))
    }
}

// === impl Text ===

impl Text {
    /// Reads a pattern: exact, a glob when it has `*`, a regular expression after `~`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self::Exact(text.to_owned()))
    }
}
