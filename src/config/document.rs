//! The configuration as it was written: the only types that know how it looks in YAML.
//!
//! Broken YAML stops early; all else is read to the end. A field is `None` when its key is missing
//! or when its value could not be read, in which case the [`Reader`] holds a complaint.

mod leaf;
mod read;
mod tree;
mod variables;

use std::{borrow::Cow, collections::BTreeSet};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

pub(crate) use leaf::{
    Address, Bind, Count, FilePath, Length, NameLeaf, Pattern, PercentLeaf, Plain, Rate, Size,
    Switch, Wait, header_name,
};
pub(crate) use read::{
    At, Auto, Finding, Later, Many, Named, Need, ObjectSchema, Off, OneOrMany, Or, Read, Reader,
    document, field, mapping, similar,
};
pub(crate) use tree::{Broken, Entry, Kind, Node, Scalar, parse};
pub use variables::Environment;
pub(crate) use variables::replace;

use crate::classify::{HostPattern, PathPattern, Text};

document! {
    /// The configuration of usher, an audience-based proxy in front of one Rails monolith.
    Document {
        /// Where clients connect.
        required listeners: Many<Listener>,
        /// The operators' port: API, page, commands; or `off`. 127.0.0.1:9900 when left out.
        optional control: Or<Off, Port>,
        /// The port with /metrics, /live and /ready; or `off`. 127.0.0.1:9901 when left out.
        optional metrics: Or<Off, Port>,
        /// Networks that may tell us X-Forwarded-*. Nobody when left out.
        optional trusted_proxies: Many<Pattern<IpNet>>,
        /// Threads that serve requests; `auto` is the cores, or the cgroup's CPU quota.
        optional workers: Or<Auto, Count>,
        /// Where the access log goes; or `off`.
        optional access_log: Or<Off, AccessLog>,
        /// Where state is kept over a restart.
        optional state_dir: FilePath,
        /// How usher stops.
        optional drain: Drain,
        /// What a client may cost; a listener may say otherwise.
        optional limits: Limits,
        /// Files with more audiences and pools, as globs. Their audiences come first.
        optional include: OneOrMany<FilePath>,
        /// What every pool or audience starts from.
        optional defaults: Defaults,
        /// In this order; the first with a matching rule takes the request.
        required audiences: Many<Audience>,
        /// Endpoints that run in the same configuration, by name.
        required pools: Named<Pool>,
    }
}

document! {
    /// A file that another one includes.
    Included {
        /// Audiences that come before those of the including file.
        optional audiences: Many<Audience>,
        /// More pools.
        optional pools: Named<Pool>,
    }
}

document! {
    /// An address where clients connect.
    Listener {
        /// IP address and port.
        required bind: Bind,
        /// Certificates. Comes with a later version; an error until then.
        optional tls: Tls,
        /// HTTP/2 without TLS. Comes with a later version; `on` is an error until then.
        optional h2c: Switch,
        /// Limits of the connections accepted here, where they differ.
        optional limits: Limits,
    }
}

document! {
    /// How a listener speaks TLS.
    Tls {
        /// Chosen by the name that the client asks for; the first otherwise.
        required certificates: Many<Certificate>,
    }
}

document! {
    /// A certificate and its key.
    Certificate {
        /// A PEM file with the certificate and those that signed it.
        required cert: FilePath,
        /// A PEM file with its key.
        required key: FilePath,
    }
}

document! {
    /// A port of usher's own.
    Port {
        /// IP address and port.
        required bind: Bind,
    }
}

document! {
    /// The log of requests, one JSON object a line.
    AccessLog {
        /// A file, `stdout` or `off`.
        required path: FilePath,
        /// Patterns of paths that carry secrets. Comes with a later version; an error until then.
        optional redact: Later,
    }
}

document! {
    /// How usher stops.
    Drain {
        /// Not ready any more but still accepting, so that load balancers notice.
        optional grace: Wait,
        /// How long requests may go on after that.
        optional requests: Wait,
        /// How long tunnels may go on after that.
        optional tunnels: Wait,
    }
}

document! {
    /// What a client may cost.
    Limits {
        /// Connections over all; `auto` is half of the descriptors this process may have.
        optional connections: Or<Auto, Count>,
        /// Connections of one client address.
        optional per_client: Count,
        /// Size of a head: request line and fields.
        optional head: Size,
        /// Fields of a head.
        optional headers: Count,
        /// Size of a request's target.
        optional target: Size,
        /// Size of a request's body.
        optional body: Size,
        /// From the first byte of a head to its last.
        optional head_wait: Wait,
        /// The lowest rate at which a body may arrive.
        optional body_rate: Rate,
        /// How long a client may take none of its answer.
        optional write_wait: Wait,
        /// How long a connection may be idle between two requests.
        optional keep_alive: Wait,
        /// How old a connection may become.
        optional age: Wait,
        /// Tunnels over all.
        optional tunnels: Count,
        /// How long a tunnel may be silent.
        optional tunnel_idle: Wait,
    }
}

document! {
    /// What every pool or audience starts from.
    Defaults {
        /// What every audience starts from.
        optional audience: AudienceDefaults,
        /// What every pool starts from.
        optional pool: PoolDefaults,
    }
}

document! {
    /// What every audience starts from.
    AudienceDefaults {
        /// When there are any, one of these must match, else 403.
        optional only: Many<Rule>,
        /// The pool that serves it.
        optional pool: NameLeaf,
        /// Its promises.
        optional slo: OneOrMany<Objective>,
        /// An HTML file for the answers that usher makes up.
        optional page: FilePath,
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
        required pool: NameLeaf,
        /// Its promises.
        optional slo: OneOrMany<Objective>,
        /// An HTML file for the answers that usher makes up.
        optional page: FilePath,
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
                optional client: OneOrMany<Pattern<IpNet>>,
                /// The user. Comes with a later version; an error until then.
                optional user: Later,
                /// A role of the user. Comes with a later version; an error until then.
                optional role: Later,
                /// Claims of the user. Comes with a later version; an error until then.
                optional claim: Later,
                /// The app's version. Comes with a later version; an error until then.
                optional version: Later,
                /// The GraphQL operation. Comes with a later version; an error until then.
                optional graphql: Later,
                $($more)*
            }
        }

        impl $name {
            /// The matchers alone.
            pub(crate) fn matchers(&self) -> Matchers<'_> {
                let later = [
                    ("user", &self.user),
                    ("role", &self.role),
                    ("claim", &self.claim),
                    ("version", &self.version),
                    ("graphql", &self.graphql),
                ];
                Matchers {
                    path: self.path.as_ref(),
                    host: self.host.as_ref(),
                    method: self.method.as_ref(),
                    header: self.header.as_ref(),
                    cookie: self.cookie.as_ref(),
                    query: self.query.as_ref(),
                    client: self.client.as_ref(),
                    later: later.map(|(name, at)| (name, at.as_ref())),
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
    pub(crate) client: Option<&'a Patterns<IpNet>>,
    pub(crate) later: [(&'static str, Option<&'a At<Later>>); 5],
}

matchers! {
    /// Matchers of which all are required.
    Rule {
        /// Matchers of which none may match.
        optional not: OneOrMany<Not>,
    }
}

matchers! {
    /// Matchers of which none may match.
    Not {}
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
    }
}

document! {
    /// How soon answers are to begin.
    Latency {
        /// How soon an answer begins, to count as good.
        required within: Wait,
        /// The share of requests for which it does.
        required target: PercentLeaf,
    }
}

/// The settings of a pool, with what else the mapping may hold.
macro_rules! pool {
    ($(#[doc = $doc:literal])+ $name:ident { $($more:tt)* }) => {
        document! {
            $(#[doc = $doc])+
            $name {
                $($more)*
                /// Slots per endpoint: Puma's workers times its threads. 5 when left out.
                optional capacity: Count,
                /// How many requests wait for a slot, and how long. No effect yet.
                optional queue: Queue,
                /// How long the monolith may take.
                optional timeouts: Timeouts,
                /// Unused connections to endpoints.
                optional keep_alive: KeepAlive,
                /// What becomes of slots whose request has gone. No effect yet.
                optional abandoned: Abandoned,
                /// What is gathered before it goes on.
                optional buffer: Buffer,
                /// How endpoints are asked whether they are well. No effect yet.
                optional health: Health,
            }
        }
    };
}

pool! {
    /// Endpoints that run in the same configuration.
    Pool {
        /// Where the monolith runs.
        required endpoints: Many<Endpoint>,
    }
}

pool! {
    /// What every pool starts from.
    PoolDefaults {}
}

document! {
    /// How many requests wait for a slot, and how long.
    Queue {
        /// A number of requests, or times the pool's capacity: `4x`.
        optional length: Length,
        /// How long one of them may wait.
        optional wait: Wait,
    }
}

document! {
    /// How long the monolith may take.
    Timeouts {
        /// To take a connection.
        optional connect: Wait,
        /// From dispatch to the answer's head, for one attempt.
        optional first_byte: Wait,
        /// Between two reads of an answer that has begun.
        optional between_bytes: Wait,
        /// From the request read whole to the answer's head, over all attempts.
        optional total: Wait,
    }
}

document! {
    /// Unused connections to endpoints.
    KeepAlive {
        /// How long one is kept; below Puma's own.
        optional idle: Wait,
    }
}

document! {
    /// What becomes of slots whose request has gone.
    Abandoned {
        /// How long such a slot is held at most.
        optional hold: Wait,
    }
}

document! {
    /// What is gathered before it goes on.
    Buffer {
        /// Whether a request's body is read whole before it goes to an endpoint.
        optional request: Switch,
        /// Whether an answer is taken off the monolith's hands. No effect yet.
        optional answer: Switch,
        /// Where bodies that exceed the memory go; the system's temporary directory.
        optional directory: FilePath,
        /// How many bytes of bodies may lie there at once.
        optional disk: Size,
    }
}

document! {
    /// How endpoints are asked whether they are well.
    Health {
        /// The path that is asked for.
        optional path: Plain,
        /// The `Host` that is asked for.
        optional host: Plain,
        /// How often.
        optional interval: Wait,
        /// How long an answer may take.
        optional timeout: Wait,
        /// So many good answers in a row make an endpoint usable.
        optional rise: Count,
        /// So many bad answers in a row make it unusable.
        optional fall: Count,
    }
}

document! {
    /// An endpoint with more than its address.
    WeightedEndpoint {
        /// IP:PORT, NAME:PORT or unix:PATH.
        required address: Address,
        /// Its share relative to the pool's others; 1 when left out.
        optional weight: Count,
    }
}

/// An endpoint: its address, or more.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(pub(crate) WeightedEndpoint);

// === impl Endpoint ===

impl Read for Endpoint {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.kind {
            Kind::Mapping(_) => WeightedEndpoint::read(node, reader).map(Self),
            Kind::Nothing | Kind::Scalar(_) | Kind::List(_) => {
                let value = Address::read(node, reader)?;
                let address = Some(At { value, span: node.span, key: node.span });
                Some(Self(WeightedEndpoint { written: Vec::new(), address, weight: None }))
            }
        }
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        WeightedEndpoint::keys(path, keys);
    }
}

impl JsonSchema for Endpoint {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<Address>();
        let weighted = generator.subschema_for::<WeightedEndpoint>();
        json_schema!({ "anyOf": [address, weighted] })
    }
}
