//! From what was written to what it means, or to problems.
//!
//! Everything is lowered, whatever was wrong before it, so that all problems come out at once. The
//! result is only worth something when none of them is an error.

mod audiences;
mod control;
mod dialect;
mod discovery;
mod health;
mod gate;
mod graphql;
mod house;
mod identity;
mod keys;
mod manners;
mod place;
mod pools;
mod promises;
mod rails;
mod rules;
mod sticky;
mod tables;
mod tls;
mod versions;

use super::{
    Audience, Config, Database, Pool,
    document::{At, Count, Document, Reader},
    source::Span,
    view,
};
use crate::peer::Network;

pub(crate) use graphql::lint as lint_graphql;
pub(crate) use place::bind as place;
pub(crate) use rules::LoweredRule;
pub use tables::NamedTable;
pub(crate) use tls::EXPIRY_WARNED;

/// The most rules of a configuration.
pub(crate) const RULES_MAX: usize = 200_000;
/// The most audiences, pools and endpoints of one pool: each is a label of metrics.
pub(crate) const NAMES_MAX: usize = 500;
/// The most listeners.
const LISTENERS_MAX: usize = 64;

/// An audience, and where its parts stand.
pub(crate) struct LoweredAudience {
    pub(crate) audience: Audience,
    pub(crate) name: Span,
    pub(crate) rules: Vec<LoweredRule>,
}

/// A pool, and where its parts stand.
pub(crate) struct LoweredPool {
    pub(crate) pool: Pool,
    pub(crate) name: Span,
    pub(crate) timeouts: Span,
    pub(crate) endpoints: Vec<Span>,
}

/// All parts, and where they stand.
pub(crate) struct Lowered {
    /// All of it but the rules of audiences: they are beside it as long as their places count.
    pub(crate) config: Config,
    pub(crate) audiences: Vec<LoweredAudience>,
    /// Those that could not be read included.
    pub(crate) audiences_written: usize,
    pub(crate) pools: Vec<LoweredPool>,
    pub(crate) trusted_proxies: Vec<(Network, Span)>,
    /// Where `graphql` stands.
    pub(crate) graphql: Option<Span>,
    /// Where `sticky` stands.
    pub(crate) sticky: Option<Span>,
    /// Where the database's `connections_max` stands.
    pub(crate) database: Option<Span>,
}

// === impl Lowered ===

impl Lowered {
    /// The configuration without places.
    pub(crate) fn into_config(self) -> Config {
        let mut config = self.config;
        for (audience, lowered) in config.audiences.iter_mut().zip(self.audiences) {
            audience.rules = lowered.rules.into_iter().map(|rule| rule.spec).collect();
        }
        config.fields_asked = config.find_fields_asked();
        config
    }
}

/// Lowers a document. `written` is its content for hash and view.
pub(crate) fn lower(
    document: &Document,
    written: &super::document::Node,
    reader: &mut Reader,
) -> Lowered {
    let house = house::lower(document, reader);
    let tables = tables::lower(document.tables.as_ref(), reader);
    reader.tables = tables.iter().map(|it| (it.name.clone(), it.table.clone())).collect();
    reader.identifies = document.identity.is_some();
    reader.versions = versions::everywhere(document, reader);
    let pools = match &document.pools {
        Some(pools) => pools::lower(pools, reader),
        None => Vec::new(),
    };
    let audiences = match &document.audiences {
        Some(audiences) => audiences::lower(audiences, document, reader),
        None => Vec::new(),
    };
    let identity = identity::lower(document.identity.as_ref(), written, &audiences, reader);
    let config = Config {
        listeners: house.listeners,
        control: house.control,
        control_access: house.control_access,
        operators: house.operators,
        metrics: house.metrics,
        metrics_access: house.metrics_access,
        trusted_proxies: house.trusted_proxies.iter().map(|(network, _)| *network).collect(),
        underscore_headers: house.underscore_headers,
        fault_header: house.fault_header,
        workers: house.workers,
        access_log: house.access_log,
        why_requests: house.why_requests,
        state_dir: house.state_dir,
        slo_source: document.slo_source.as_ref().and_then(|at| at.value.url()),
        gate: gate::lower(document.gate.as_ref(), reader),
        drain: house.drain,
        resolver: discovery::resolver(document.resolver.as_ref(), reader),
        database: connections_max(document).map(|at| Database { connections_max: at.value.0 }),
        identity,
        graphql: graphql::lower(document.graphql.as_ref(), reader),
        sticky: sticky::lower(document.sticky.as_ref(), reader),
        tables,
        fields_asked: Vec::new(),
        hash: hash(written, &audiences, reader),
        redacted: view::redacted(written),
        audiences: audiences.iter().map(|lowered| lowered.audience.clone()).collect(),
        pools: pools.iter().map(|lowered| lowered.pool.clone()).collect(),
    };
    let audiences_written = document.audiences.as_ref().map_or(0, |list| list.value.items.len());
    Lowered {
        config,
        audiences,
        audiences_written,
        pools,
        trusted_proxies: house.trusted_proxies,
        graphql: document.graphql.as_ref().map(|at| at.key),
        sticky: document.sticky.as_ref().map(|at| at.key),
        database: connections_max(document).map(|at| at.span),
    }
}

/// How many connections the database takes.
fn connections_max(document: &Document) -> Option<&At<Count>> {
    document.database.as_ref()?.value.connections_max.as_ref()
}

/// The hash over what was written, and over the files that it names.
fn hash(written: &super::document::Node, audiences: &[LoweredAudience], reader: &Reader) -> String {
    let pages = audiences.iter().filter_map(|lowered| lowered.audience.page.as_deref());
    let read = reader.read.iter().map(Vec::as_slice);
    view::hash(written, pages.map(str::as_bytes).chain(read))
}

/// Complains about what is more than `most`.
fn bounded(count: usize, most: usize, what: &str, span: Span, reader: &mut Reader) {
    if count > most {
        reader.error(span, format!("{count} {what} are more than the most there may be, {most}"));
    }
}
