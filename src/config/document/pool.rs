//! Pools and their endpoints, as they are written.

use std::{borrow::Cow, collections::BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    Address, At, BalanceLeaf, Count, Dns, EjectionOrOff, EndpointTls, FilePath, Health, Kind,
    Length, Many, Node, PercentLeaf, ProtocolLeaf, ProxyHeaderLeaf, Read, Reader, RetryOrOff, Size,
    Surge, Switch, Wait, WhenEmptyLeaf, WhenUnhealthy, document,
};

/// The settings of a pool, with what else the mapping may hold.
macro_rules! pool {
    ($(#[doc = $doc:literal])+ $name:ident { $($more:tt)* }) => {
        document! {
            $(#[doc = $doc])+
            $name {
                $($more)*
                /// Slots per endpoint: Puma's workers times its threads. 5 when left out.
                optional capacity: Count,
                /// How many requests wait for a slot, and how long.
                optional queue: Queue,
                /// How requests are spread over the endpoints: `least_busy`, `round_robin`, `hash
                /// client`, `hash user`, `hash header NAME`, `hash cookie NAME`, several with `or`.
                optional balance: BalanceLeaf,
                /// What becomes of requests while no endpoint is usable: `refuse`, `wait`, or
                /// `fallback` for audiences that have one.
                optional when_empty: WhenEmptyLeaf,
                /// Over how long an endpoint that is new, or back, gets its slots.
                optional slow_start: Wait,
                /// The share of the slots that streams of events (`text/event-stream`) may hold.
                optional event_streams: PercentLeaf,
                /// How long the monolith may take.
                optional timeouts: Timeouts,
                /// Unused connections to endpoints.
                optional keep_alive: KeepAlive,
                /// What becomes of slots whose request has gone.
                optional abandoned: Abandoned,
                /// What of bodies is kept on their way.
                optional buffer: Buffer,
                /// TLS towards the endpoints; plain text when left out.
                optional tls: EndpointTls,
                /// What endpoints are spoken to in: `http/1.1`, `h2` (within `tls`) or `h2c`.
                optional protocol: ProtocolLeaf,
                /// The PROXY header that each connection to an endpoint begins with: `v1`, `v2`,
                /// or `off`.
                optional proxy_protocol: ProxyHeaderLeaf,
                /// How endpoints are asked whether they are well; not at all when left out.
                optional health: Health,
                /// When an endpoint gets no requests since those before went wrong; or `off`.
                optional ejection: EjectionOrOff,
                /// When no endpoint is well: `try` them (fail open), or `refuse` requests.
                optional when_unhealthy: WhenUnhealthy,
                /// When a request is sent again; or `off`.
                optional retry: RetryOrOff,
                /// Database connections of one endpoint; its capacity when left out.
                optional database_connections: Count,
                /// The most endpoints that the pool is scaled out to.
                optional endpoints_max: Count,
                /// How many more endpoints there are during a deploy: `1`, `25%`.
                optional surge: Surge,
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
    /// What differs from the pool's timeouts.
    Overrides {
        /// To take a connection.
        optional connect: Wait,
        /// To get a slot.
        optional queue: Wait,
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
    /// What of bodies is kept on their way.
    Buffer {
        /// Whether a request's body is read whole before it goes to an endpoint.
        optional request: Switch,
        /// Whether an answer is taken off the monolith's hands when its client is slow.
        optional answer: Switch,
        /// How much of one answer is read ahead of its client.
        optional ahead: Size,
        /// Where bodies that exceed the memory go; the system's temporary directory.
        optional directory: FilePath,
        /// How many bytes of bodies may lie there at once.
        optional disk: Size,
    }
}

document! {
    /// An endpoint with more than its address.
    WeightedEndpoint {
        /// IP:PORT, NAME:PORT or unix:PATH.
        optional address: Address,
        /// A name that is looked up by asking name servers, instead of an address.
        optional dns: Dns,
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
                Some(Self(WeightedEndpoint {
                    written: vec!["address"],
                    address,
                    dns: None,
                    weight: None,
                }))
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
