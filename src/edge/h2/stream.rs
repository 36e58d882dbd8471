//! One request and its answer, on one stream.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Response, StatusCode, response::Parts};

use crate::{
    fault::Fault,
    http2::Duplex,
    proxy::{Informational, Settling, upgrade::Tunnel},
};

use super::{
    answer,
    delivery::{Carried, Piece, Sink, Source},
    streams::{Common, Tunnelling},
    upload::Word,
};

/// What the door keeps of a request while the service has it.
pub(super) struct Exchange {
    pub(super) common: Arc<Common>,
    pub(super) respond: SendResponse<Piece>,
    /// HEAD gets no body.
    pub(super) head_only: bool,
    /// 1xx answers.
    pub(super) informational: Option<Informational>,
    /// `100 Continue`, where the client waits for it.
    pub(super) word: Option<Word>,
    /// The stream itself, where the client wants to go on as a WebSocket.
    pub(super) upgrade: Option<RecvStream>,
}

// === impl Exchange ===

impl Exchange {
    /// Waits for the service's answer and sends it; what goes on behind it, if anything does.
    pub(super) async fn run<E>(
        mut self,
        service: impl Future<Output = Result<Response<Settling>, E>>,
    ) -> Option<Tunnelling> {
        let answer = self.wait(service).await?;
        let (mut parts, settling) = answer.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let tunnel = parts.extensions.remove::<Tunnel>();
            return self.switch(parts, settling, tunnel);
        }
        self.answer(parts, settling).await;
        None
    }

    /// The service's answer; `None` when the client took the request back or left.
    async fn wait<E>(
        &mut self,
        service: impl Future<Output = Result<Response<Settling>, E>>,
    ) -> Option<Response<Settling>> {
        let mut service = pin!(service);
        poll_fn(|cx| match service.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.ok()),
            Poll::Pending => self.poll_aside(cx).map(|()| None),
        })
        .await
    }

    /// What goes on beside the service: 1xx answers, and the client. Ready when it has gone.
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.word.as_ref().is_some_and(|word| word.is_due(cx)) {
            self.word = None;
            self.inform(StatusCode::CONTINUE, HeaderMap::new());
        }
        let waiting = self.informational.as_ref().map(|interim| interim.take());
        for (status, fields) in waiting.into_iter().flatten() {
            self.inform(status, fields);
        }
        self.respond.poll_reset(cx).map(|_| ())
    }

    fn inform(&mut self, status: StatusCode, fields: HeaderMap) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        answer::strip(response.headers_mut());
        // It fails only where the stream has ended, which `poll_reset` tells.
        let _ = self.respond.send_informational(response);
    }

    async fn answer(mut self, parts: Parts, mut settling: Settling) {
        if let Some(informational) = self.informational.take() {
            for (status, fields) in informational.close() {
                self.inform(status, fields);
            }
        }
        let (head, shape) = answer::head(parts, settling.take_lines(), self.head_only);
        let carried = Carried::new(settling, self.common.clone());
        let mut source = Source::new(carried.clone(), shape.length);
        let bodiless = shape.bodiless || {
            hold_head(&mut source).await;
            source.is_over()
        };
        let Ok(stream) = self.respond.send_response(head, bodiless) else { return };
        if bodiless {
            carried.end();
            return;
        }
        let mut sink = Sink::new(stream);
        match poll_fn(|cx| sink.poll_move(cx, &mut source)).await {
            Ok(()) => carried.end(),
            Err(fault) => {
                carried.break_off(fault);
                if fault == Fault::ClientLeft || fault == Fault::ClientStalled {
                    return sink.reset(Reason::CANCEL);
                }
                drop(source);
                sink.drain(&carried).await;
                sink.reset(Reason::INTERNAL_ERROR);
            }
        }
    }

    /// Agrees to the upgrade: 101 is 200 here (RFC 8441 §5), and the stream belongs to the tunnel.
    /// A 101 that nobody asked for, or without a tunnel behind it, must not reach the client.
    fn switch(
        mut self,
        parts: Parts,
        mut settling: Settling,
        tunnel: Option<Tunnel>,
    ) -> Option<Tunnelling> {
        let (Some(tunnel), Some(received)) = (tunnel, self.upgrade.take()) else {
            settling.broken(Fault::UpstreamUpgrade);
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        };
        let head = answer::switch(parts, settling.take_lines());
        let sent = self.respond.send_response(head, false).ok()?;
        settling.delivered();
        drop(settling);
        Some(Box::pin(tunnel.carry(Duplex::new(received, sent), Bytes::new())))
    }
}

/// Waits one turn for the first piece: it often needs one more turn of the task that reads it from
/// the endpoint, and then goes out with the head.
async fn hold_head(source: &mut Source) {
    let mut held = false;
    poll_fn(|cx| {
        let gathered = source.poll_gather(cx);
        if gathered.is_pending() && !std::mem::replace(&mut held, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
