//! What is told about one request that has ended.

use serde::{Deserialize, Serialize};

/// The requests with one id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestsView {
    /// The one that ended last first. An id that a client or a load balancer gave may come twice.
    pub requests: Vec<RequestView>,
}

/// One request that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestView {
    /// Its id.
    pub request_id: String,
    /// When it ended (RFC 3339).
    pub time: String,
    /// Who asked.
    pub client: String,
    /// Its method, where it got so far.
    pub method: Option<String>,
    /// The beginning of its path, without the query.
    pub path: Option<String>,
    /// What it asked for by its own word: the name of a GraphQL operation, else the id of a
    /// document. Only where a rule wanted to know.
    pub operation: Option<String>,
    /// The configuration that decided it.
    pub generation: u64,
    /// Who it was for.
    pub audience: String,
    /// The rule that said so; none for the audience that takes what is left.
    pub rule: Option<String>,
    /// The pool.
    pub pool: String,
    /// The pool that took it because that one could not.
    pub fallback: Option<String>,
    /// The status of its answer; none when there was none.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: String,
    /// Why the monolith did not serve it as asked.
    pub fault: Option<String>,
    /// Whose doing the fault was.
    pub blame: Option<String>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptView>,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of its answer's body.
    pub bytes_out: u64,
    /// Held back because an operator had paused it.
    pub paused_ms: Option<f64>,
    /// Waiting for slots.
    pub queue_ms: Option<f64>,
    /// Connecting to endpoints.
    pub connect_ms: Option<f64>,
    /// Request read whole to the answer's head.
    pub first_byte_ms: Option<f64>,
    /// Holding slots, over all attempts.
    pub upstream_ms: Option<f64>,
    /// Head read to the end.
    pub total_ms: Option<f64>,
}

/// One attempt of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptView {
    /// Where it went.
    pub endpoint: String,
    /// `answered`, `no_connection`, `open` when the request ended before it did, or the name of the
    /// fault that ended it.
    pub ended: String,
    /// Whether it was sent again on a new connection, because a reused one had died.
    pub replayed: bool,
    /// How long it held its slot.
    pub took_ms: Option<f64>,
}
