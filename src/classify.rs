//! Who a request is for: pure functions over a request's facts.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method};

/// What a decision may rest on. Borrowed from the request, so that deciding copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The target's path as it was sent, without the query.
    pub path: &'a str,
    /// The target's query as it was sent, without the `?`.
    pub query: Option<&'a str>,
    /// The `Host` field as it was sent.
    pub host: &'a str,
    /// The request's fields.
    pub headers: &'a HeaderMap,
    /// Who asks, after trusted proxies have been believed.
    pub client: IpAddr,
}
