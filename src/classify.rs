//! Who a request is for: pure functions over a request's facts.
//!
//! A configuration says, audience by audience, what belongs to it; the first audience with a rule
//! that matches takes the request. [`Classifier`] answers that from an index whose cost does not
//! grow with the number of rules; [`trace`] answers it rule by rule, with reasons, for people and
//! as the measure that the index is held to.
//!
//! Nothing here reads a file, a clock or a socket. Paths are compared as Rails' router will see
//! them, values as Rack will: a request must not be one thing to usher and another to the monolith.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Method};

use crate::peer::{Client, Network};

mod path;
mod rack;
mod text;

mod identity;
mod table;
mod user;
mod version;

mod host;
mod pattern;
mod subject;

mod covers;
mod graphql;
mod index;
mod set;
mod trace;
mod trie;

pub use self::{
    covers::{Reach, covers},
    graphql::{
        Ask, Look, OPERATION_BYTES_MAX, Operation, Operations, Places, Reading, is_operation_name,
        operation_of_body,
    },
    host::HostPattern,
    identity::{Claim, Identity},
    index::{Choice, Classifier},
    path::{PathProblem, PathView},
    pattern::PathPattern,
    rack::{cookie as cookie_value, header as field_value, parameter as parameter_value},
    set::PathSet,
    table::{LineError, Table, TableBuilder},
    text::{PatternError, Text},
    trace::{Miss, Step, trace},
    user::UserPattern,
    version::{
        AppVersion, Product, RangeError, Version, VersionRange, VersionSource, read_version,
    },
};

use self::subject::Subject;

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
    pub client: Client,
    /// The subject of the certificate that the peer showed, which has been verified.
    pub subject: Option<&'a str>,
    /// Who asks, as far as it was proved.
    pub identity: Option<&'a Identity>,
    /// What a GraphQL request asks for, as far as it says so.
    pub operation: Option<&'a Operation>,
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
    Client(Vec<Network>),
    /// The subject of the certificate that the client showed, as RFC 4514 writes it.
    Subject(Vec<Text>),
    /// The user, as far as it was proved who that is.
    User(Vec<UserPattern>),
    /// A role of the user; any of them.
    Role(Vec<Text>),
    /// What else was said of the user; any of several values.
    Claim(String, Vec<Text>),
    /// The version of the app, where these say that it stands.
    Version(Arc<[VersionSource]>, Vec<VersionRange>),
    /// The name of the GraphQL operation, as the client says it.
    Operation(Vec<Text>),
    /// The id of a GraphQL document that the application has kept, as the client says it.
    Document(Vec<Text>),
}

// === impl RuleSpec ===

impl RuleSpec {
    /// Whether any client can claim to be meant by this rule, since nothing but a header, a cookie
    /// or a parameter guards it. A path or a host says what is asked for, a network who asks.
    pub fn unverified(&self) -> bool {
        let claimed = |m: &Matcher| {
            matches!(
                m,
                Matcher::Header(..)
                    | Matcher::Cookie(..)
                    | Matcher::Query(..)
                    | Matcher::Version(..)
            ) || m.asks_operation()
        };
        let method = |m: &Matcher| matches!(m, Matcher::Method(_));
        self.all.iter().any(claimed) && self.all.iter().all(|m| claimed(m) || method(m))
    }
}

// === impl Matcher ===

impl Matcher {
    /// Whether it asks who the user is: it holds for nobody who has not proved that.
    pub fn asks_identity(&self) -> bool {
        matches!(self, Matcher::User(_) | Matcher::Role(_) | Matcher::Claim(..))
    }

    /// Whether it asks for a GraphQL operation: it holds for no other request.
    pub fn asks_operation(&self) -> bool {
        matches!(self, Matcher::Operation(_) | Matcher::Document(_))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matcher::Path(values) => write!(f, "path {}", Alternatives(values)),
            Matcher::Host(values) => write!(f, "host {}", Alternatives(values)),
            Matcher::Method(values) => write!(f, "method {}", Alternatives(values)),
            Matcher::Header(name, values) => write!(f, "header {name}: {}", Alternatives(values)),
            Matcher::Cookie(name, values) => write!(f, "cookie {name}: {}", Alternatives(values)),
            Matcher::Query(name, values) => write!(f, "query {name}: {}", Alternatives(values)),
            Matcher::Client(values) => write!(f, "client {}", Alternatives(values)),
            Matcher::Subject(values) => write!(f, "subject {}", Alternatives(values)),
            Matcher::User(values) => write!(f, "user {}", Alternatives(values)),
            Matcher::Role(values) => write!(f, "role {}", Alternatives(values)),
            Matcher::Claim(name, values) => write!(f, "claim {name}: {}", Alternatives(values)),
            Matcher::Version(_, ranges) => write!(f, "version {}", Alternatives(ranges)),
            Matcher::Operation(values) => write!(f, "graphql operation {}", Alternatives(values)),
            Matcher::Document(values) => write!(f, "graphql id {}", Alternatives(values)),
        }
    }
}

struct Alternatives<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Alternatives<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Whether any of `rules` matches; what `only` asks.
pub fn any_matches(rules: &[RuleSpec], facts: &Facts<'_>, path: &PathView<'_>) -> bool {
    let subject = Subject::new(facts, path);
    rules.iter().any(|rule| subject.satisfies(&rule.all, &rule.not))
}

/// Whether any of `rules` lacks nothing but the proof of who asks. What a request without one is
/// told: that it needs one, and not that it may never pass.
pub fn any_lacks_identity(rules: &[RuleSpec], facts: &Facts<'_>, path: &PathView<'_>) -> bool {
    let subject = Subject::new(facts, path);
    facts.identity.is_none()
        && rules.iter().any(|rule| {
            let asks = rule.all.iter().any(Matcher::asks_identity);
            let rest = rule.all.iter().filter(|matcher| !matcher.asks_identity());
            asks && subject.satisfies(rest, &rule.not)
        })
}

/// Whether any client can claim to be meant by `rule`: see [`RuleSpec::unverified`].
pub fn unverified(rule: &RuleSpec) -> bool {
    rule.unverified()
}
