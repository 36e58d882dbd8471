//! What was asked, as far as the log and the made-up answers want to know.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::HOST};

use super::{Refusal, Visitor, headers, reply::Form, request_id::RequestId, versions::App};
use crate::{
    classify::{Identity, Operation},
    http1::{lines::Lines, names::Known},
    name::Name,
    peer::{Client, Peer, Protocol},
    verbs::{Closed, Gates},
};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// Who asks, after trusted proxies have been believed.
    pub client: Client,
    /// Who that is, as far as it was proved.
    pub identity: Option<Arc<Identity>>,
    /// What it asks for, where it is a GraphQL request that a rule about those may take.
    pub operation: Option<Arc<Operation>>,
    /// By what its client is known again, in audiences of which something asks that.
    pub visitor: Option<Visitor>,
    /// Whether it came by https.
    pub secure: bool,
    /// Which version of an app asks, where its audience wants to know.
    pub app: Option<App>,
    /// What the client spoke.
    pub protocol: Protocol,
    /// The request's name in all logs.
    pub request_id: RequestId,
    /// `traceparent`, as it came.
    pub trace_parent: Option<HeaderValue>,
    /// The method, where it got so far.
    pub method: Option<Method>,
    /// The host, where it got so far.
    pub host: Option<HeaderValue>,
    /// The target, where it got so far.
    pub target: Option<Uri>,
    /// How the client wants to be told what usher itself has to say.
    pub form: Form,
}

// === impl Asked ===

impl Asked {
    /// What the head of a good request says.
    #[inline(always)]
    pub fn of(
        peer: Arc<Peer>,
        protocol: Protocol,
        head: &http::request::Parts,
        lines: &Lines,
        client: Client,
        request_id: RequestId,
    ) -> Self {
        Self {
            peer,
            client,
            identity: None,
            operation: None,
            visitor: None,
            secure: false,
            app: None,
            protocol,
            request_id,
            trace_parent: of(lines, Known::TraceParent, &head.headers, &TRACE_PARENT),
            method: Some(head.method.clone()),
            host: of(lines, Known::Host, &head.headers, &HOST),
            target: Some(head.uri.clone()),
            form: Form::wanted(&head.headers, lines),
        }
    }

    /// Whether `audience` or `pool` is in maintenance for whoever asks.
    pub fn closed(&self, gates: &Gates, audience: &Name, pool: &Name) -> Option<Closed> {
        let user = self.identity.as_ref().map(|identity| &*identity.subject);
        gates.closed(audience, pool, self.client, user)
    }

    /// What could be read of a request that was refused.
    pub fn of_refused(
        peer: Arc<Peer>,
        protocol: Protocol,
        refusal: &Refusal,
        drawn: impl FnOnce() -> u128,
    ) -> Self {
        let request_id = headers::request_id(&HeaderMap::new(), &peer, drawn);
        Self {
            client: peer.client(),
            identity: None,
            operation: None,
            visitor: None,
            secure: false,
            app: None,
            peer,
            protocol,
            request_id,
            trace_parent: None,
            method: refusal.method.clone(),
            host: refusal.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()),
            target: refusal.path.as_deref().and_then(|path| path.parse().ok()),
            form: refusal.form,
        }
    }
}

/// A field that lies among the lines, or in the map.
fn of(lines: &Lines, known: Known, map: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    lines.share(known).or_else(|| headers::value(map, name).cloned())
}
