//! What a GraphQL request asks for, as far as that can be told from outside.
//!
//! Every client of an application may send everything to one path. What it wants is then said by
//! the name of its operation, or by the id of a document that the application has kept. Both are
//! looked for where clients put them: in the target's query, in fields of the head, and, where that
//! is switched on, in a JSON body of bounded size.
//!
//! A request that no rule about operations can take is not looked at. What a client says here is
//! its own word: nothing proves it.
//!
//! **Invariant:** whatever comes in, nothing here panics, recurses beyond a bound, or does more
//! than look at each byte a few times.

mod body;
mod document;

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, Method,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};

use super::{Facts, Matcher, PathView, RuleSpec, Subject, rack};

/// The longest name or id that is looked at, in bytes.
pub const OPERATION_BYTES_MAX: usize = 256;

/// What a request asks for, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// The name of the operation.
    pub name: Option<Box<str>>,
    /// The id of a document that the application has kept.
    pub id: Option<Box<str>>,
}

/// Where requests say what they ask for, and which of them are looked at.
#[derive(Clone, Debug)]
pub struct Operations {
    places: Places,
    /// Every rule that asks for an operation, without those conditions.
    rules: Box<[RuleSpec]>,
    /// Whether any of them asks for a name, and for an id.
    names: bool,
    ids: bool,
}

/// Where requests say what they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Fields with the name; the first that a request has counts.
    pub name_fields: Vec<HeaderName>,
    /// Fields with the id.
    pub id_fields: Vec<HeaderName>,
    /// The longest body that is read, in bytes; `None`: none is.
    pub body_bytes_max: Option<usize>,
}

/// What a request's head says, and whether its body has to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the head says.
    pub operation: Operation,
    /// What is to become of the body.
    pub body: Option<Ask>,
}

/// Whether a body that might say more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Up to so many bytes of it.
    Read(usize),
    /// It is not, for this reason.
    Leave(Reading),
}

/// What came of a body that might have said what its request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It says so.
    Found,
    /// It is JSON, and says nothing of the kind.
    Nameless,
    /// It is a batch of requests that do not all ask for the same.
    Mixed,
    /// It is not JSON, or not such an object or list.
    Malformed,
    /// It is longer than what is read.
    Large,
    /// It is compressed.
    Encoded,
    /// There was no memory to keep it.
    NoRoom,
}

// === impl Operation ===

impl Operation {
    /// The name, else the id: what a log calls it.
    pub fn shown(&self) -> Option<&str> {
        self.name.as_deref().or(self.id.as_deref())
    }

    /// This, with what it lacks out of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { name: self.name.or(other.name), id: self.id.or(other.id) }
    }

    fn is_empty(&self) -> bool {
        self.shown().is_none()
    }
}

// === impl Operations ===

impl Operations {
    /// Looks in `places`, for what `rules` ask; `None` when none of them asks for an operation.
    pub fn new<'a>(places: Places, rules: impl IntoIterator<Item = &'a RuleSpec>) -> Option<Self> {
        let asking: Vec<&RuleSpec> = rules.into_iter().filter(|rule| asks(rule)).collect();
        if asking.is_empty() {
            return None;
        }
        let matchers = || asking.iter().flat_map(|rule| rule.all.iter().chain(&rule.not));
        let names = matchers().any(|matcher| matches!(matcher, Matcher::Operation(_)));
        let ids = matchers().any(|matcher| matches!(matcher, Matcher::Document(_)));
        let rules = asking.into_iter().map(rest).collect();
        Some(Self { places, rules, names, ids })
    }

    /// What the request with these facts asks for as far as its head says so; `None` when no rule
    /// about operations can take it, whatever it asks for.
    pub fn look(&self, facts: &Facts<'_>) -> Option<Look> {
        let path = PathView::of(facts.path).ok()?;
        let subject = Subject::new(facts, &path);
        if !self.rules.iter().any(|rule| subject.satisfies(&rule.all, &rule.not)) {
            return None;
        }
        let operation = self.of_head(facts);
        let lacks = self.names && operation.name.is_none() || self.ids && operation.id.is_none();
        // A document in the target is the one that Rails hands on, whatever the body holds.
        let settled = || facts.query.is_some_and(|it| rack::parameter(it, "query").is_some());
        let bytes_max = self.places.body_bytes_max.filter(|_| lacks && !settled());
        let body = bytes_max.and_then(|max| ask(facts.method, facts.headers, max));
        Some(Look { operation, body })
    }

    /// Whether any rule about operations could take a POST of JSON to any path.
    pub fn looks_everywhere(&self) -> bool {
        let bounded = |m: &Matcher| matches!(m, Matcher::Path(_));
        self.rules.iter().any(|rule| !rule.all.iter().any(bounded))
    }

    /// Rails merges the target's parameters over those of the body, so they come first; a field is
    /// what a client says of itself.
    fn of_head(&self, facts: &Facts<'_>) -> Operation {
        let target = facts.query.map(of_target).unwrap_or_default();
        let field = |fields: &[HeaderName]| -> Option<Cow<'_, [u8]>> {
            fields.iter().find_map(|field| rack::header(facts.headers, field))
        };
        let fields = Operation {
            name: field(&self.places.name_fields).and_then(|value| name(&value)),
            id: field(&self.places.id_fields).and_then(|value| id(&value)),
        };
        target.or(fields)
    }
}

// === impl Places ===

impl Default for Places {
    fn default() -> Self {
        Self {
            name_fields: vec![HeaderName::from_static("x-apollo-operation-name")],
            id_fields: vec![HeaderName::from_static("x-apollo-operation-id")],
            body_bytes_max: None,
        }
    }
}

// === impl Reading ===

impl Reading {
    /// The words of all readings, in their order.
    pub const NAMES: &'static [&'static str] =
        &["found", "nameless", "mixed", "malformed", "large", "encoded", "no_room"];
}

// === free functions ===

/// Whether an operation can be called `text`.
pub fn is_operation_name(text: &str) -> bool {
    name(text.as_bytes()).is_some()
}

/// What a body says, read whole.
pub fn operation_of_body(body: &[u8]) -> (Operation, Reading) {
    let Some(said) = body::parse(body) else { return (Operation::default(), Reading::Malformed) };
    let mut operations = said.iter().map(body::Said::operation);
    let Some(first) = operations.next() else { return (Operation::default(), Reading::Nameless) };
    if operations.any(|operation| operation != first) {
        return (Operation::default(), Reading::Mixed);
    }
    let reading = if first.is_empty() { Reading::Nameless } else { Reading::Found };
    (first, reading)
}

/// Whether a body that could say more is there, and is to be read.
fn ask(method: &Method, headers: &HeaderMap, bytes_max: usize) -> Option<Ask> {
    if *method != Method::POST || !is_json(headers) {
        return None;
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Some(Ask::Leave(Reading::Encoded));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(0_u64) => None,
        Some(length) if length > bytes_max as u64 => Some(Ask::Leave(Reading::Large)),
        Some(_) | None => Some(Ask::Read(bytes_max)),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    })
}

/// Whether a rule asks for an operation.
fn asks(rule: &RuleSpec) -> bool {
    rule.all.iter().chain(&rule.not).any(Matcher::asks_operation)
}

/// A rule without its conditions on operations: it takes all that the rule could take.
fn rest(rule: &RuleSpec) -> RuleSpec {
    let keep = |matchers: &[Matcher]| -> Vec<Matcher> {
        matchers.iter().filter(|matcher| !matcher.asks_operation()).cloned().collect()
    };
    RuleSpec { all: keep(&rule.all), not: keep(&rule.not), ..rule.clone() }
}

/// What a target's parameters say.
fn of_target(query: &str) -> Operation {
    let parameter = |name| rack::parameter(query, name).filter(|value| !value.is_empty());
    let document = || parameter("query").and_then(|text| document::sole_operation(&text));
    let extensions = parameter("extensions");
    let extended = extensions.as_deref().and_then(body::id_of_extensions);
    let ids = || body::ID_KEYS.iter().find_map(|key| parameter(key));
    Operation {
        name: match parameter("operationName") {
            Some(said) => name(&said),
            None => document(),
        },
        id: extended.or_else(|| ids().and_then(|said| id(&said))),
    }
}

/// A name as GraphQL writes it.
fn name(text: &[u8]) -> Option<Box<str>> {
    let well = text.len() <= OPERATION_BYTES_MAX && document::is_name(text);
    well.then(|| String::from_utf8_lossy(text).into())
}

/// An id: visible ASCII.
fn id(text: &[u8]) -> Option<Box<str>> {
    let well =
        (1..=OPERATION_BYTES_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    well.then(|| String::from_utf8_lossy(text).into())
}

#[cfg(test)]
mod tests;
