//! What an attempt came to: the answer that is passed on, or why there is none.
//!
//! Here an endpoint is told what its answer, or its silence, says of it.

use http::{Response, StatusCode};

use super::{Failed, Journey, Said, fitness, headers};
use crate::{
    fault::Fault,
    http1::lines::Lines,
    policy::retry::Failure,
    proxy::{answer::Answer, orphan::is_event_stream, upgrade::Tunnel},
    upstream::{Break, Broken, Connection, Evidence, StreamPlace},
};

// === impl Journey ===

impl Journey<'_> {
    /// Whether the answer is one that may be passed on.
    pub(super) fn judge(
        &mut self,
        mut response: Response<()>,
        mut connection: Connection,
    ) -> Result<Said, Failed> {
        let mut lines = connection.take_lines();
        let handshake = self.handshake.take();
        let websocket = handshake.is_some();
        if websocket {
            // An agreement is judged, and goes on, as a whole.
            std::mem::take(&mut lines).pour(response.headers_mut());
        }
        if let Some(asked) = handshake.as_ref().filter(|_| connection.is_shared()) {
            asked.spell_out(&mut response);
        }
        let handshake = handshake.filter(|asked| asked.is_agreed_by(&response));
        if let Some(fault) = fitness::unfit(&response, handshake.is_some()) {
            self.exchange.endpoint_failed(Evidence::Malformed, || fault.to_string());
            return Err(Failed::Fault(fault));
        }
        self.weigh(response.status());
        self.learn(&response);
        if !websocket && self.is_left(response.status()) {
            return Err(Failed::Left);
        }
        let events = self.events(&response, &lines)?;
        self.exchange.answered(response.status());
        if self.exchange.is_promised()
            && let Some(said) = headers::said_of_promises(response.headers())
        {
            self.exchange.said(said);
        }
        headers::toward_client(response.headers_mut(), &mut lines);
        if let Some(handshake) = handshake {
            let (mut head, ()) = response.into_parts();
            headers::switch(&mut head.headers);
            // One that is agreed to has been switched.
            let switched = connection.switch().ok_or(Failed::Fault(Fault::UpstreamUpgrade))?;
            let tunnel = Tunnel::new(switched, self.exchange, handshake.into_place());
            return Ok(Said::Switched(head, Box::new(tunnel)));
        }
        let (head, ()) = response.into_parts();
        let (between_bytes, ahead_max) = (self.timeouts.between_bytes, self.ahead_max(&head));
        self.exchange.carry(Answer::new(connection, lines, between_bytes, events, ahead_max));
        Ok(Said::Answer(head))
    }

    /// Why there is no answer on `connection`, and whether the request may be sent again.
    pub(super) fn diagnose(
        &mut self,
        broken: &Broken,
        mut connection: Connection,
        untouched: bool,
    ) -> Failed {
        // The client broke its own upload.
        if let Some(fault) = broken.upload() {
            return Failed::Fault(fault);
        }
        if let Some(body) = connection.take_body() {
            self.upload.restore(body);
        }
        let reused = connection.is_reused();
        let unsent = !connection.has_sent() && self.upload.can_be_sent_again();
        let broke = broken.way();
        let again = match broke {
            // Nobody has looked at it: it may be sent again, whatever it is.
            Some(Break::Leaving | Break::Refused) => self.upload.can_be_sent_again(),
            // The connection is alive, and it was this request that it broke at.
            Some(Break::Reset | Break::Malformed) => false,
            Some(Break::Ended) | None => reused && untouched && self.repeatable,
        };
        if again || reused && unsent {
            return Failed::Stale;
        }
        if let Some(endpoint) = self.exchange.endpoint() {
            tracing::debug!(endpoint = endpoint.as_str(), %broken, "no answer");
        }
        let malformed = broke == Some(Break::Malformed);
        // That a connection which had been used before is closed says nothing of its endpoint.
        if malformed || broke == Some(Break::Reset) || !(reused && untouched) {
            let evidence = if malformed { Evidence::Malformed } else { Evidence::Broke };
            self.exchange.endpoint_failed(evidence, || format!("no answer: {broken}"));
        }
        let fault = Fault::UpstreamBroke;
        match (malformed, unsent, untouched) {
            (true, _, _) => Failed::Fault(Fault::UpstreamMalformed),
            // As good as no connection: nothing has gone out.
            (false, true, _) => Failed::Unanswered(Failure::Connect, fault),
            (false, false, true) => Failed::Unanswered(Failure::Broken, fault),
            (false, false, false) => Failed::Fault(fault),
        }
    }

    /// What a status says of its endpoint.
    fn weigh(&self, status: StatusCode) {
        if status.is_server_error() {
            let code = status.as_u16();
            self.exchange.endpoint_failed(Evidence::Status(code), || format!("answered {code}"));
        } else {
            self.exchange.endpoint_answered();
        }
    }

    /// How much of an answer may be read ahead of its client: nothing where the application asks
    /// for no buffering, as it would ask nginx.
    fn ahead_max(&self, head: &http::response::Parts) -> u64 {
        let Some(pool) = self.exchange.pool() else { return 0 };
        if headers::wants_no_buffering(&head.headers) { 0 } else { pool.config.buffer.ahead_bytes }
    }

    /// A place among the pool's streams of events for an answer that is one.
    fn events(
        &self,
        response: &Response<()>,
        lines: &Lines,
    ) -> Result<Option<StreamPlace>, Failed> {
        let events = is_event_stream(response.headers(), lines);
        let Some(pool) = self.exchange.pool().filter(|_| events) else {
            return Ok(None);
        };
        let place = pool.upstream.queue().stream(pool.config.event_streams.ratio());
        place.map(Some).ok_or(Failed::Fault(Fault::StreamLimit))
    }
}
