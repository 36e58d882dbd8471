//! What a GraphQL request asks for, where its body has to say it.
//!
//! The request has been decided by its head. As much of its body is read as may say more, and the
//! request is decided again; that is its decision. What has been read goes on in front of the rest,
//! byte for byte, so that gathering, limits and sending see the body that the client sent. A body
//! that breaks off meanwhile is settled by the first decision.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, request::Parts};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{
    buffers::{Kind, Share},
    exchange::Exchange,
};
use crate::{
    body::Body,
    classify::{Ask, Facts, Operation, Reading, operation_of_body},
    fault::Fault,
    peer::Client,
};

/// What is asked of a body.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// How much of it.
    pub ask: Ask,
    /// Who asks, after trusted proxies have been believed.
    pub client: Client,
    /// Whether something invalid in the head has it refused, whatever is asked for.
    pub refused: bool,
}

/// The beginning of a body that has been read, and what follows it.
struct Begun {
    data: Bytes,
    trailers: Option<HeaderMap>,
    rest: Body,
    _share: Share,
}

/// Has `exchange` decided by what its body says, and hands the body back whole.
pub async fn ask(
    exchange: &mut Exchange,
    head: &Parts,
    question: Question,
    body: Body,
) -> Result<Body, Fault> {
    let (operation, reading, body) = match question.ask {
        Ask::Leave(reading) => (Operation::default(), reading, body),
        Ask::Read(bytes_max) => {
            let share = exchange.share(Kind::Request);
            read(body, bytes_max, share).await?
        }
    };
    if let Some(meter) = exchange.view().graphql_meter() {
        meter.asked(exchange.worker().index, reading as usize);
    }
    if reading == Reading::Found {
        decide(exchange, head, question, operation);
    }
    Ok(body)
}

/// What the body says, how that came about, and the body.
async fn read(
    mut body: Body,
    bytes_max: usize,
    mut share: Share,
) -> Result<(Operation, Reading, Body), Fault> {
    let mut begun = BytesMut::new();
    let mut first = Bytes::new();
    let mut trailers = None;
    let mut room = share.may_grow();
    while room
        && begun.len() + first.len() <= bytes_max
        && let Some(frame) = body.frame().await
    {
        match frame?.into_data() {
            // Most bodies are one piece, which need not be copied.
            Ok(data) if first.is_empty() && begun.is_empty() => first = data,
            Ok(data) => {
                begun.extend_from_slice(&std::mem::take(&mut first));
                begun.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        share.set((begun.len() + first.len()) as u64);
        room = share.may_grow();
    }
    let data = if begun.is_empty() { first } else { begun.freeze() };
    let (operation, reading) = match (data.len() > bytes_max, room || body.is_end_stream()) {
        (true, _) => (Operation::default(), Reading::Large),
        (false, false) => (Operation::default(), Reading::NoRoom),
        (false, true) => operation_of_body(&data),
    };
    let begun = Begun { data, trailers, rest: body, _share: share };
    Ok((operation, reading, Body::new(begun)))
}

/// Decides once more, now that it is known what is asked for.
fn decide(exchange: &mut Exchange, head: &Parts, question: Question, found: Operation) {
    let asked = exchange.asked();
    let operation = asked.operation.as_deref().cloned().unwrap_or_default().or(found);
    let facts = Facts {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        host: asked.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(""),
        headers: &head.headers,
        client: question.client,
        subject: asked.peer.client_subject(),
        identity: asked.identity.as_deref(),
        operation: Some(&operation),
    };
    let decision = exchange.view().decide(&facts).refusing(question.refused);
    exchange.decide_again(decision, operation);
}

// === impl Begun ===

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.data.has_remaining() {
            let data = std::mem::take(&mut self.data);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // With trailers the length must not be known, or hyper would not send them.
        if self.trailers.is_some() {
            return SizeHint::default();
        }
        let (rest, begun) = (self.rest.size_hint(), self.data.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + begun);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + begun);
        }
        hint
    }
}
