//! The configuration as it was written: the only types that know how it looks in YAML.
//!
//! Broken YAML stops early; all else is read to the end. A field is `None` when its key is missing
//! or when its value could not be read, in which case the [`Reader`] holds a complaint.

mod tree;
mod yaml;
mod variables;

mod reader;

mod read;

mod choice;
mod collection;
mod declare;
mod leaf;
mod pattern;
mod gate;
mod graphql;
mod promise;

mod audience;
mod manners;
mod place;
mod control;
mod database;
mod discovery;
mod health;
mod identity;
mod keys;
mod pool;
mod sticky;
mod tls;
mod versions;

use http::HeaderName;

use crate::peer::Network;

pub(crate) use audience::{
    Audience, AudienceDefaults, Fallback, Latency, Matchers, Objective, RateLimit, RateLimits, Rule,
};
pub(crate) use choice::{BalanceLeaf, PriorityLeaf, ProtocolLeaf, WhenEmptyLeaf};
pub(crate) use collection::{Auto, Later, Many, Named, Off, OneOrMany, Or};
pub(crate) use control::{Control, Token};
pub(crate) use database::Surge;
pub(crate) use declare::{Need, ObjectSchema, document, field, key};
pub(crate) use discovery::{Dns, Resolver};
pub(crate) use gate::{Gate, SloSource};
pub(crate) use graphql::{Graphql, GraphqlMatcher};
pub(crate) use health::{EjectionOrOff, Health, Reason, RetryOrOff, WhenUnhealthy};
pub(crate) use identity::{
    FieldName, IdentityCookie, IdentitySource, InvalidLeaf, Jwt, RailsCookie, RailsKey, TokenPlace,
    Users,
};
pub(crate) use keys::{KeySet, TokenKey};
pub(crate) use leaf::{
    Address, Count, FilePath, Frequency, Length, NameLeaf, PercentLeaf, Rate, Size, Switch, Wait,
    Words,
};
pub(crate) use manners::{Hsts, ProxyHeaderLeaf, ProxyProtocolLeaf, RedirectLeaf};
pub(crate) use pattern::{Pattern, header_name};
pub(crate) use place::{Bind, Group, GroupLeaf, ModeLeaf};
pub(crate) use pool::{
    Buffer, Endpoint, Overrides, Pool, PoolDefaults, Queue, Timeouts, WeightedEndpoint,
};
pub(crate) use promise::{Moment, Statuses};
pub(crate) use read::{At, Read, mapping, similar};
pub(crate) use reader::{Finding, Reader};
pub(crate) use sticky::{Sticky, StickyCookie};
pub(crate) use tls::{Clients, EndpointTls, Tls};
pub(crate) use tree::{Entry, Kind, Node, Scalar};
pub use variables::Environment;
pub(crate) use variables::replace;
pub(crate) use versions::{BrownoutStep, VersionAnswer, VersionPlace, Versions};
pub(crate) use yaml::{Broken, parse};

document! {
    /// The configuration of usher, an audience-based proxy in front of one Rails monolith.
    Document {
        /// Where clients connect.
        required listeners: Many<Listener>,
        /// The operators' port: API, page, commands; or `off`. 127.0.0.1:9900 when left out.
        optional control: Or<Off, Control>,
        /// The port with /metrics, /live and /ready; or `off`. 127.0.0.1:9901 when left out.
        optional metrics: Or<Off, Port>,
        /// Networks that may tell us X-Forwarded-*. Nobody when left out.
        optional trusted_proxies: Many<Pattern<Network>>,
        /// Names with `_` that are passed on. Others are dropped: Rack folds `_` onto `-`.
        optional underscore_headers: Many<Pattern<HeaderName>>,
        /// Whether answers that usher makes up name their fault in X-Usher-Fault; `on` if left out.
        optional fault_header: Switch,
        /// Threads that serve requests; `auto` is the cores, or the cgroup's CPU quota.
        optional workers: Or<Auto, Count>,
        /// Where the access log goes; or `off`.
        optional access_log: Or<Off, AccessLog>,
        /// What `usher why` can tell about; or `off`.
        optional why: Or<Off, Why>,
        /// Where state is kept over a restart.
        optional state_dir: FilePath,
        /// Where the counts of all replicas together are; without it usher knows its own.
        optional slo_source: SloSource,
        /// What has to be left of an error budget to ship.
        optional gate: Gate,
        /// How usher stops.
        optional drain: Drain,
        /// The database behind all pools.
        optional database: database::Database,
        /// How name servers are asked about `dns` endpoints.
        optional resolver: Resolver,
        /// What a client may cost; a listener may say otherwise.
        optional limits: Limits,
        /// What may prove who asks, in this order; the first that does counts.
        optional identity: Many<IdentitySource>,
        /// Files with users by name: an id, or `id,value`, a line.
        optional tables: Named<FilePath>,
        /// Where GraphQL requests say what they ask for.
        optional graphql: Graphql,
        /// By what a client is known again where nothing proves who asks.
        optional sticky: Sticky,
        /// Where requests say which version of an app sends them.
        optional versions: versions::VersionPlaces,
        /// Files with more audiences and pools, as globs. Their audiences come first.
        optional include: OneOrMany<FilePath>,
        /// What every pool or audience starts from.
        optional defaults: Defaults,
        /// In this order; the first with a matching rule takes the request.
        inherited audiences: Many<Audience>,
        /// Endpoints that run in the same configuration, by name.
        inherited pools: Named<Pool>,
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
        /// IP address and port, or `unix:PATH`.
        required bind: Bind,
        /// Rights of a Unix socket's file, as chmod takes them; 0660 when left out.
        optional mode: ModeLeaf,
        /// Group of a Unix socket's file, by name or number; usher's own when left out.
        optional group: GroupLeaf,
        /// Certificates: this listener speaks TLS.
        optional tls: Tls,
        /// Whether HTTP/2 is spoken here without TLS too, by clients that know it beforehand.
        optional h2c: Switch,
        /// Whether every connection begins with a PROXY header (`required`); `off` when left out.
        optional proxy_protocol: ProxyProtocolLeaf,
        /// Sends plain requests on to `https`, or to `https:PORT`.
        optional redirect: RedirectLeaf,
        /// Has browsers come by https alone.
        optional hsts: Hsts,
        /// Limits of the connections accepted here, where they differ.
        optional limits: Limits,
    }
}

document! {
    /// A port of usher's own.
    Port {
        /// IP address and port, or `unix:PATH`.
        required bind: Bind,
        /// Rights of a Unix socket's file, as chmod takes them; 0660 when left out.
        optional mode: ModeLeaf,
        /// Group of a Unix socket's file, by name or number; usher's own when left out.
        optional group: GroupLeaf,
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
    /// What is remembered of requests that have ended.
    Why {
        /// How many requests over all workers; half of the places are for those that went wrong.
        required requests: Count,
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
        /// Connections over all; `auto` is what the descriptors of this process allow.
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
        /// Memory of all bodies that are kept; `auto` is a quarter of what the process may have.
        optional buffers: Or<Auto, Size>,
        /// TLS handshakes in progress; others wait for their turn.
        optional handshakes: Count,
        /// From the accepted connection to the end of its TLS handshake.
        optional handshake_wait: Wait,
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
