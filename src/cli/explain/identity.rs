//! What a request proves of who asks, and why not; never what it proves it with.

use std::fmt;

use serde::Serialize;

use super::asked::Asked;
use crate::identity::{Cache, Evidence, Flaw, Found, Identities, Moment, Source};

/// What a request proves of who asks.
#[derive(Clone, Debug, Serialize)]
pub struct IdentityView {
    /// The user; none when nothing was proved.
    pub user: Option<String>,
    /// Their roles.
    pub roles: Vec<String>,
    /// What else was said of them, as far as a rule asks for it.
    pub claims: Vec<String>,
    /// The source that found them, and where it looked.
    pub source: Option<String>,
    /// Why others found nothing in what the request carries, a line each.
    pub flaws: Vec<String>,
}

/// Asks `identities`, as `usher run` does, and says what they answer.
pub(super) fn identify(
    identities: &Identities,
    asked: &Asked,
    certificate: Option<&str>,
) -> (IdentityView, Found) {
    let evidence = Evidence {
        headers: &asked.headers,
        query: asked.query.as_deref(),
        trusted: true,
        certificate,
    };
    let sources = identities.sources();
    let (mut flaws, mut proved) = (Vec::new(), None);
    let found = identities.find(&evidence, &mut Cache::default(), Moment::now(), |at, outcome| {
        let place = format!("{}, {}", sources[at].name, sources[at].looks_at());
        match outcome {
            Ok(()) => proved = Some(place),
            Err(flaw) => flaws.push(told(&place, flaw, &sources[at])),
        }
    });
    let identity = found.identity.as_deref();
    let texts = |all: &[Box<str>]| -> Vec<String> { all.iter().map(ToString::to_string).collect() };
    let view = IdentityView {
        user: identity.map(|it| it.subject.to_string()),
        roles: identity.map(|it| texts(&it.roles)).unwrap_or_default(),
        claims: identity.map_or_else(Vec::new, |it| {
            it.claims
                .iter()
                .map(|c| format!("{}: {}", c.name, texts(&c.values).join(", ")))
                .collect()
        }),
        source: proved,
        flaws,
    };
    (view, found)
}

/// Why what stands at `place` proves nobody.
fn told(place: &str, flaw: Flaw, source: &Source) -> String {
    let name = flaw.name();
    if flaw != Flaw::NoKeys {
        return format!("{place}: {name}: {}", flaw.sentence());
    }
    let urls: Vec<String> = source.publishers().map(|spec| spec.shown()).collect();
    format!(
        "{place}: {name}: It cannot be verified from the file: a running usher has the keys of {}",
        urls.join(", ")
    )
}

impl fmt::Display for IdentityView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(user) = &self.user else {
            return match self.flaws.as_slice() {
                [] => f.write_str("none: the request carries nothing that could prove one"),
                flaws => write!(f, "none: {}", flaws.join("; ")),
            };
        };
        write!(f, "user {user}")?;
        if !self.roles.is_empty() {
            write!(f, ", role {}", self.roles.join(", "))?;
        }
        if !self.claims.is_empty() {
            write!(f, ", {}", self.claims.join(", "))?;
        }
        write!(f, " ({})", self.source.as_deref().unwrap_or_default())?;
        if self.flaws.is_empty() { Ok(()) } else { write!(f, "; {}", self.flaws.join("; ")) }
    }
}
