//! Audiences, their rules and their promises, as they are written.

use super::{
    At, Count, FilePath, Frequency, GraphqlMatcher, Many, Moment, NameLeaf, Named, Off, OneOrMany,
    Or, Overrides, Pattern, PercentLeaf, PriorityLeaf, Statuses, Users, Versions, Wait, document,
};
use crate::{
    classify::{HostPattern, PathPattern, Text, VersionRange},
    peer::Network,
};

document! {
    /// What every audience starts from.
    AudienceDefaults {
        /// When there are any, one of these must match, else 403.
        optional only: Many<Rule>,
        /// The pool that serves it.
        optional pool: NameLeaf,
        /// Where it goes when that pool has no usable endpoint, or its queue is full.
        optional fallback: Fallback,
        /// Who goes first among audiences that share a pool: `high`, `normal` or `low`.
        optional priority: PriorityLeaf,
        /// The share of the pool's slots that it gets when it wants them, whoever else does.
        optional share: PercentLeaf,
        /// Its promises.
        optional slo: OneOrMany<Objective>,
        /// An HTML file for the answers that usher makes up.
        optional page: FilePath,
        /// What differs from the pool's timeouts.
        optional timeouts: Overrides,
        /// How often it, or one client of it, may ask.
        optional rate_limit: RateLimits,
        /// Which versions of its app are served.
        optional versions: Versions,
    }
}

document! {
    /// A class of requests with one promise.
    Audience {
        /// Its name.
        required name: NameLeaf,
        /// Any of these takes the request. Without it: all that is left.
        optional r#match: Many<Rule>,
        /// When there are any, one of these must match, else 403.
        optional only: Many<Rule>,
        /// The pool that serves it.
        inherited pool: NameLeaf,
        /// Where it goes when that pool has no usable endpoint, or its queue is full.
        optional fallback: Fallback,
        /// Who goes first among audiences that share a pool: `high`, `normal` or `low`.
        optional priority: PriorityLeaf,
        /// The share of the pool's slots that it gets when it wants them, whoever else does.
        optional share: PercentLeaf,
        /// Its promises.
        optional slo: OneOrMany<Objective>,
        /// An HTML file for the answers that usher makes up.
        optional page: FilePath,
        /// What differs from the pool's timeouts.
        optional timeouts: Overrides,
        /// How often it, or one client of it, may ask.
        optional rate_limit: RateLimits,
        /// Which versions of its app are served.
        optional versions: Versions,
    }
}

/// Matchers of requests, with what else the mapping may hold.
macro_rules! matchers {
    ($(#[doc = $doc:literal])+ $name:ident { $($more:tt)* }) => {
        document! {
            $(#[doc = $doc])+
            $name {
                /// The path as Rails will see it, such as `/admin/**`.
                optional path: OneOrMany<Pattern<PathPattern>>,
                /// The host without case and port; `*` is one label.
                optional host: OneOrMany<Pattern<HostPattern>>,
                /// The method.
                optional method: OneOrMany<Pattern<Text>>,
                /// Fields of the head by name.
                optional header: Named<OneOrMany<Pattern<Text>>>,
                /// Cookies by name; the first of that name.
                optional cookie: Named<OneOrMany<Pattern<Text>>>,
                /// Parameters of the query by name; the last of that name.
                optional query: Named<OneOrMany<Pattern<Text>>>,
                /// Networks of the client.
                optional client: OneOrMany<Pattern<Network>>,
                /// The subject of the client's certificate: `CN=ops,O=Shop`.
                optional subject: OneOrMany<Pattern<Text>>,
                /// The user that `identity:` found; `{ table: NAME }` for those of a table.
                optional user: OneOrMany<Users>,
                /// A role of that user; any of them.
                optional role: OneOrMany<Pattern<Text>>,
                /// Claims of that user by name; any of several values.
                optional claim: Named<OneOrMany<Pattern<Text>>>,
                /// The app's version, such as `>=5.2, <6`; where it stands is said by `versions:`.
                optional version: OneOrMany<Pattern<VersionRange>>,
                /// The GraphQL operation, as the client says it.
                optional graphql: GraphqlMatcher,
                $($more)*
            }
        }

        impl $name {
            /// The matchers alone.
            pub(crate) fn matchers(&self) -> Matchers<'_> {
                Matchers {
                    path: self.path.as_ref(),
                    host: self.host.as_ref(),
                    method: self.method.as_ref(),
                    header: self.header.as_ref(),
                    cookie: self.cookie.as_ref(),
                    query: self.query.as_ref(),
                    client: self.client.as_ref(),
                    subject: self.subject.as_ref(),
                    user: self.user.as_ref(),
                    role: self.role.as_ref(),
                    claim: self.claim.as_ref(),
                    version: self.version.as_ref(),
                    graphql: self.graphql.as_ref(),
                }
            }
        }
    };
}

type Patterns<P> = At<OneOrMany<Pattern<P>>>;
type NamedPatterns = At<Named<OneOrMany<Pattern<Text>>>>;

/// The matchers of a [`Rule`] or of a [`Not`].
pub(crate) struct Matchers<'a> {
    pub(crate) path: Option<&'a Patterns<PathPattern>>,
    pub(crate) host: Option<&'a Patterns<HostPattern>>,
    pub(crate) method: Option<&'a Patterns<Text>>,
    pub(crate) header: Option<&'a NamedPatterns>,
    pub(crate) cookie: Option<&'a NamedPatterns>,
    pub(crate) query: Option<&'a NamedPatterns>,
    pub(crate) client: Option<&'a Patterns<Network>>,
    pub(crate) subject: Option<&'a Patterns<Text>>,
    pub(crate) user: Option<&'a At<OneOrMany<Users>>>,
    pub(crate) role: Option<&'a Patterns<Text>>,
    pub(crate) claim: Option<&'a NamedPatterns>,
    pub(crate) version: Option<&'a Patterns<VersionRange>>,
    pub(crate) graphql: Option<&'a At<GraphqlMatcher>>,
}

matchers! {
    /// Matchers of which all are required.
    Rule {
        /// Matchers of which none may match.
        optional not: OneOrMany<Not>,
        /// What differs from the audience's timeouts for requests that this rule takes.
        optional timeouts: Overrides,
    }
}

matchers! {
    /// Matchers of which none may match.
    Not {}
}

document! {
    /// Where an audience goes when its own pool cannot take it.
    Fallback {
        /// The other pool.
        required pool: NameLeaf,
        /// The share of that pool's slots that the audience may hold there.
        required share: PercentLeaf,
    }
}

document! {
    /// How often an audience, or one client of it, may ask.
    RateLimits {
        /// All of its requests together; 429.
        optional audience: RateLimit,
        /// The requests of each client, by address; 429.
        optional client: RateLimit,
    }
}

document! {
    /// How often somebody may ask.
    RateLimit {
        /// `10/s`, `600/min`, `1000/h`.
        required rate: Frequency,
        /// How many may come at once after a pause; as many as in a second when left out.
        optional burst: Count,
    }
}

document! {
    /// A promise about an audience, or about a part of it.
    Objective {
        /// Its name; one of an audience may do without.
        optional name: NameLeaf,
        /// Which of the audience's requests it speaks about; all when left out.
        optional only: Many<Rule>,
        /// The share of requests to be answered well.
        optional availability: PercentLeaf,
        /// How soon answers are to begin.
        optional latency: Latency,
        /// What was promised to others; laxer than `availability`.
        optional sla: PercentLeaf,
        /// Statuses that are bad beside those from 500 on: `404`, or `4xx` for all of them.
        optional bad: OneOrMany<Statuses>,
        /// Paths that are not counted; `off` counts all. Health checks and assets when left out.
        optional exclude: Or<Off, OneOrMany<Pattern<PathPattern>>>,
        /// Over how long the promise is held: whole days, 7d to 30d. 28d when left out.
        optional window: Wait,
    }
}

document! {
    /// How soon answers are to begin.
    Latency {
        /// How soon an answer begins, to count as good.
        required within: Wait,
        /// The share of requests for which it does.
        required target: PercentLeaf,
        /// What is to come in time: the answer's `first_byte`, or its `completion`.
        optional on: Moment,
    }
}
