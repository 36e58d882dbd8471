//! What is asked of a configuration as a whole.

use http::{
    HeaderName,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, USER_AGENT},
};

use super::{Audience, Balance, Config};
use crate::classify::{Matcher, RuleSpec, VersionSource};

// === impl Config ===

impl Config {
    /// Every rule: those that take requests, those of `only`, and those of promises.
    pub fn rules(&self) -> impl Iterator<Item = &RuleSpec> {
        self.audiences.iter().flat_map(|audience| {
            let scopes = audience.objectives.iter().flat_map(|objective| &objective.only);
            audience.rules.iter().chain(&audience.only).chain(scopes)
        })
    }

    /// The fields of a request that anything which was configured looks at, each once.
    pub(super) fn find_fields_asked(&self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for matcher in self.rules().flat_map(|rule| rule.all.iter().chain(&rule.not)) {
            match matcher {
                Matcher::Header(name, _) => names.push(name.clone()),
                Matcher::Cookie(..) => names.push(COOKIE),
                Matcher::Version(sources, _) => names.extend(sources.iter().map(field_of)),
                Matcher::Operation(_) | Matcher::Document(_) => {
                    names.extend([CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH]);
                    names.extend(self.graphql.name_fields.iter().cloned());
                    names.extend(self.graphql.id_fields.iter().cloned());
                }
                Matcher::Path(_)
                | Matcher::Host(_)
                | Matcher::Method(_)
                | Matcher::Query(..)
                | Matcher::Client(_)
                | Matcher::Subject(_)
                | Matcher::User(_)
                | Matcher::Role(_)
                | Matcher::Claim(..) => {}
            }
        }
        for versions in self.audiences.iter().filter_map(|audience| audience.versions.as_ref()) {
            names.extend(versions.from.iter().map(field_of));
        }
        for pool in &self.pools {
            if let Balance::Hash(by) = &pool.balance {
                by.fields(&mut names);
            }
        }
        names.extend(self.sticky.headers.iter().cloned());
        names.extend(self.sticky.cookie.iter().map(|_| COOKIE));
        names.extend(self.identity.iter().flat_map(|identities| identities.fields()));
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        names
    }

    /// Whether anything that is decided for `audience` asks by what its clients are known again.
    pub fn is_sticky(&self, audience: &Audience) -> bool {
        let pool = self.pools.iter().find(|pool| pool.name == audience.pool);
        pool.is_some_and(|pool| pool.balance.is_sticky())
    }
}

fn field_of(source: &VersionSource) -> HeaderName {
    match source {
        VersionSource::Header(name) => name.clone(),
        VersionSource::UserAgent(_) => USER_AGENT,
    }
}
