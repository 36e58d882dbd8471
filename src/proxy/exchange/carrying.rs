//! The monolith's answer on its way to the client.
//!
//! It lies with the exchange that carries it, whose memory stays where it is, and not with what is
//! handed from one to the next until the door has it.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::Exchange;
use crate::{
    deadline::Deadline,
    fault::{Blame, Fault},
    proxy::{answer::Answer, headers, orphan::Unwanted},
    upstream::Evidence,
};

// === impl Exchange ===

impl Exchange {
    /// The monolith has begun to answer.
    #[inline]
    pub fn carry(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    /// The monolith's answer, where it has begun.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// The same, to be changed.
    pub fn answer_mut(&mut self) -> Option<&mut Answer> {
        self.answer.as_mut()
    }

    /// Brings into the map what is looked at before the answer is added to.
    pub fn bring_told(&mut self, headers: &mut HeaderMap) {
        if let Some(answer) = &mut self.answer {
            headers::bring_told(headers, answer.lines());
        }
    }

    /// Takes all of the answer, where that has come with its head: its lease goes back then.
    pub fn take_whole(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        answer.read_whole();
        if answer.has_ended() {
            let connection = answer.take_connection();
            let now = self.first_byte.unwrap_or_else(Instant::now);
            self.give_back_at(now, connection);
        }
    }

    /// The next frame of the answer for the client.
    pub fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
        let deadline = self.deadline.get_or_insert_with(|| self.worker.wheel.spare());
        answer.poll(cx, deadline)
    }

    /// What it is to wait by from now on.
    pub fn lend(&mut self, deadline: Box<Deadline>) {
        self.deadline = Some(deadline);
    }

    /// What it was to wait by, to be set anew.
    pub fn take_deadline(&mut self) -> Box<Deadline> {
        self.deadline.take().unwrap_or_else(|| self.worker.wheel.spare())
    }

    /// The same, where there is any.
    pub fn give_deadline(&mut self) -> Option<Box<Deadline>> {
        self.deadline.take()
    }

    /// Takes what the monolith has ready off its hands while the client takes nothing.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let Some(mut answer) = self.answer.take() else { return };
        let mut deadline = self.take_deadline();
        let read = answer.read_ahead(cx, &mut deadline, |bytes_max| self.ahead(bytes_max));
        self.answer = Some(answer);
        self.lend(deadline);
        let Err(fault) = read else { return self.let_go_when_ended() };
        self.accuse(fault);
        // Neither slot nor thread has to wait until the client has read what came.
        if fault == Fault::BetweenBytesTimeout {
            return self.leave();
        }
        drop(self.answer.as_mut().and_then(Answer::abandon));
        self.give_back(None);
    }

    /// The lease and the connection go back as soon as the monolith has said its last byte, not
    /// when a slow client has read it.
    pub fn let_go_when_ended(&mut self) {
        let Some(answer) = self.answer.as_mut().filter(|answer| answer.has_ended()) else { return };
        let connection = answer.take_connection();
        self.give_back(connection);
    }

    /// Leaves the lease to an orphan while the monolith says the rest of its answer.
    pub fn leave(&mut self) {
        let connection = self.answer.as_mut().and_then(Answer::abandon);
        if let Some(connection) = connection
            && let Some(orphan) = self.orphan()
        {
            orphan.hold(connection, Unwanted::Said);
        }
    }

    /// What an answer that broke off says of its endpoint; nothing where it was not the endpoint.
    pub fn accuse(&self, fault: Fault) {
        if fault.blame() == Blame::Upstream {
            self.endpoint_failed(Evidence::BrokeOff, || format!("answer broke off: {fault}"));
        }
    }
}
