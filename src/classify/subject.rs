//! A request while it is being classified: its facts, its path, and what has been worked out.

use std::{borrow::Cow, cell::OnceCell};

use http::HeaderName;

use super::{
    AppVersion, Facts, Matcher, PathView, Text, VersionSource, host::normal_host, rack,
    read_version,
};

/// Facts are read when a rule asks for them and not before: most requests are decided by a path.
pub(super) struct Subject<'a> {
    facts: &'a Facts<'a>,
    path: &'a PathView<'a>,
    host: OnceCell<Cow<'a, str>>,
}

// === impl Subject ===

impl<'a> Subject<'a> {
    pub(super) fn new(facts: &'a Facts<'a>, path: &'a PathView<'a>) -> Self {
        Self { facts, path, host: OnceCell::new() }
    }

    /// Whether all of `all` match and none of `not` does.
    pub(super) fn satisfies<'m>(
        &self,
        all: impl IntoIterator<Item = &'m Matcher>,
        not: &[Matcher],
    ) -> bool {
        all.into_iter().all(|m| self.matches(m)) && !not.iter().any(|m| self.matches(m))
    }

    /// Whether one condition holds.
    pub(super) fn matches(&self, matcher: &Matcher) -> bool {
        match matcher {
            Matcher::Path(patterns) => patterns.iter().any(|p| p.matches(self.path)),
            Matcher::Host(patterns) => patterns.iter().any(|p| p.takes(self.host())),
            Matcher::Client(networks) => {
                networks.iter().any(|network| network.contains(self.facts.client))
            }
            Matcher::User(patterns) => {
                self.user().is_some_and(|user| patterns.iter().any(|p| p.matches(user)))
            }
            Matcher::Role(texts) => any(texts, self.facts.identity.map(|it| &*it.roles)),
            Matcher::Claim(name, texts) => {
                any(texts, self.facts.identity.and_then(|it| it.claim(name)))
            }
            Matcher::Version(sources, ranges) => match self.version(sources) {
                AppVersion::Known(version) => ranges.iter().any(|range| range.takes(version)),
                AppVersion::None | AppVersion::Other => false,
            },
            Matcher::Method(texts)
            | Matcher::Subject(texts)
            | Matcher::Header(_, texts)
            | Matcher::Cookie(_, texts)
            | Matcher::Query(_, texts)
            | Matcher::Operation(texts)
            | Matcher::Document(texts) => self
                .value(matcher)
                .is_some_and(|value| texts.iter().any(|text| text.matches(&value))),
        }
    }

    /// The value that a condition is about, when the request has one.
    pub(super) fn value(&self, matcher: &Matcher) -> Option<Cow<'a, [u8]>> {
        match matcher {
            Matcher::Path(_) => Some(Cow::Borrowed(self.path.as_str().as_bytes())),
            Matcher::Host(_) => Some(Cow::Owned(self.host().as_bytes().to_vec())),
            Matcher::Method(_) => Some(Cow::Borrowed(self.facts.method.as_str().as_bytes())),
            Matcher::Header(name, _) => self.header(name),
            Matcher::Cookie(name, _) => self.cookie(name),
            Matcher::Query(name, _) => self.parameter(name),
            Matcher::Subject(_) => Some(Cow::Borrowed(self.facts.subject?.as_bytes())),
            Matcher::Client(_) => Some(Cow::Owned(self.facts.client.to_string().into_bytes())),
            Matcher::User(_) => Some(Cow::Borrowed(self.user()?.as_bytes())),
            Matcher::Role(_) => Some(listed(&self.facts.identity?.roles)),
            Matcher::Claim(name, _) => Some(listed(self.facts.identity?.claim(name)?)),
            Matcher::Version(sources, _) => match self.version(sources) {
                AppVersion::None => None,
                AppVersion::Other => Some(Cow::Borrowed(b"no version")),
                AppVersion::Known(version) => Some(Cow::Owned(version.to_string().into_bytes())),
            },
            Matcher::Operation(_) => Some(Cow::Borrowed(self.operation()?.as_bytes())),
            Matcher::Document(_) => Some(Cow::Borrowed(self.document()?.as_bytes())),
        }
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
        rack::header(self.facts.headers, name)
    }

    pub(super) fn cookie(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        rack::cookie(self.facts.headers, name)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        rack::parameter(self.facts.query?, name)
    }

    /// What the request says of its app.
    fn version(&self, sources: &[VersionSource]) -> AppVersion {
        read_version(sources, self.facts.headers)
    }

    pub(super) fn path(&self) -> &'a PathView<'a> {
        self.path
    }

    /// The user, as far as it was proved who that is.
    pub(super) fn user(&self) -> Option<&'a str> {
        self.facts.identity.map(|identity| &*identity.subject)
    }

    /// The name of the GraphQL operation, as far as it was said.
    pub(super) fn operation(&self) -> Option<&'a str> {
        self.facts.operation?.name.as_deref()
    }

    /// The id of a GraphQL document, as far as it was said.
    pub(super) fn document(&self) -> Option<&'a str> {
        self.facts.operation?.id.as_deref()
    }

    /// The host as patterns see it.
    pub(super) fn host(&self) -> &str {
        self.host.get_or_init(|| normal_host(self.facts.host))
    }
}

/// Whether any of `texts` takes any of `values`.
fn any(texts: &[Text], values: Option<&[Box<str>]>) -> bool {
    let taken = |value: &str| texts.iter().any(|text| text.matches(value.as_bytes()));
    values.is_some_and(|values| values.iter().any(|value| taken(value)))
}

/// Several values, for people.
fn listed(values: &[Box<str>]) -> Cow<'static, [u8]> {
    Cow::Owned(values.join(", ").into_bytes())
}
