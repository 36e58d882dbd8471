//! The ledger of one request, settled exactly once.
//!
//! It opens when a request has been decided and closes when the answer's last byte has been handed
//! to the connection, or when whatever carries it is dropped. Metrics and log are fed here and
//! nowhere else.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderValue, StatusCode};

use super::{
    answer::Answer, asked::Asked, memory::Tries, settle::End, upload::Flow, worker::Worker,
};
use crate::{
    config::{Limits, Overrides, Timeouts},
    deadline::Deadline,
    drain::Stage,
    fault::{Fault, Outcome},
    meters::{Retry, Settled},
    slo::{self, Said},
    snapshot::{Audience, Decision, Pool, View},
    upstream::{Endpoint, GuestPlace, clock_ms},
    verbs::Turn,
};

mod carrying;
mod decided;
mod fallback;
mod gates;
mod holding;
mod remember;
mod written;

use holding::Held;

/// The ledger of one request.
pub struct Exchange {
    worker: Arc<Worker>,
    view: Arc<View>,
    decision: Decision,
    asked: Asked,
    arrived: Instant,
    arrived_at: SystemTime,
    read_whole: Option<Instant>,
    first_byte: Option<Instant>,
    status: Option<StatusCode>,
    fault: Option<Fault>,
    said: Option<Said>,
    lease: Option<Held>,
    answer: Option<Answer>,
    /// What it waits by, one thing after the other; the door's, which gets it back.
    deadline: Option<Box<Deadline>>,
    /// Whether it goes to the pool that its audience falls back to.
    away: bool,
    /// Its place there, until a lease has it.
    place: Option<GuestPlace>,
    /// The endpoint that was asked last, once its lease has gone back.
    endpoint: Option<Arc<Endpoint>>,
    attempts: u32,
    tries: Tries,
    /// How long it waited for slots, once it has asked for one.
    queued: Option<Duration>,
    /// How long it was held back because an operator had paused it.
    paused: Option<Duration>,
    /// Leave to go on after a pause, until the slot that it was used for is free.
    turns: Vec<Turn>,
    /// When it is of use to come back, as far as is known.
    come_back: Option<Duration>,
    connecting: Duration,
    upstream: Duration,
    bytes_in: u64,
    flow: Option<Arc<Flow>>,
    bytes_out: u64,
    settled: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Opens the ledger of a request that `view` has decided.
    pub fn open(
        worker: Arc<Worker>,
        view: Arc<View>,
        decision: Decision,
        asked: Asked,
        arrived: Instant,
    ) -> Box<Self> {
        view.audience(decision.audience).meter.open(worker.index);
        // Made where it stays: it is larger than what is in it yet.
        Box::write(
            Box::new_uninit(),
            Self {
                worker,
                view,
                decision,
                asked,
                arrived,
                arrived_at: SystemTime::now(),
                read_whole: None,
                first_byte: None,
                status: None,
                fault: None,
                said: None,
                lease: None,
                answer: None,
                deadline: None,
                away: false,
                place: None,
                endpoint: None,
                attempts: 0,
                tries: Tries::default(),
                queued: None,
                paused: None,
                turns: Vec::new(),
                come_back: None,
                connecting: Duration::ZERO,
                upstream: Duration::ZERO,
                bytes_in: 0,
                flow: None,
                bytes_out: 0,
                settled: false,
            },
        )
    }

    /// The worker it runs on.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// The snapshot it was decided by.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Its audience.
    pub fn audience(&self) -> &Audience {
        self.view.audience(self.decision.audience)
    }

    /// Where its audience stands in its snapshot.
    pub fn audience_index(&self) -> usize {
        self.decision.audience
    }

    /// Its audience's name as `X-Audience` carries it.
    pub fn audience_header(&self) -> &HeaderValue {
        self.view.audience_header(self.decision.audience)
    }

    /// How long `pool` may take for this request.
    pub fn timeouts(&self, pool: &Pool) -> Timeouts {
        self.overrides().over(pool.timeouts)
    }

    /// What differs from a pool's timeouts for this request.
    pub fn overrides(&self) -> Overrides {
        self.audience().overrides(self.decision.rule)
    }

    /// What was asked.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// When its head had been read.
    pub fn arrived_at(&self) -> SystemTime {
        self.arrived_at
    }

    /// When its head had been read, in milliseconds since 1970.
    pub fn arrived_ms(&self) -> u64 {
        let since = self.arrived_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// When its head had been read.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// When its time with the monolith begins: when it had been read whole; now where an operator
    /// had held it back, or where it is still coming.
    pub fn begins(&self) -> Instant {
        self.read_whole.filter(|_| self.paused.is_none()).unwrap_or_else(Instant::now)
    }

    /// The request has been read whole, after so many bytes of body.
    pub fn read_whole(&mut self, at: Instant, bytes: u64) {
        self.read_whole = Some(at);
        self.bytes_in = bytes;
    }

    /// The request's body is passed on as it comes.
    pub fn streams(&mut self, flow: Arc<Flow>) {
        self.flow = Some(flow);
    }

    /// Attempts so far, the one under way included. A replay is none.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// So long it took to get a connection.
    pub fn connected(&mut self, took: Duration) {
        self.connecting += took;
    }

    /// The monolith's answer has begun.
    pub fn answered(&mut self, status: StatusCode) {
        let now = Instant::now();
        self.first_byte = Some(now);
        self.status = Some(status);
        if let Some(held) = &self.lease {
            let took = now.saturating_duration_since(held.taken);
            let latency = held.lease.endpoint().latency();
            if status.is_server_error() {
                latency.note_failure(took, clock_ms(now));
            } else {
                latency.note(took, clock_ms(now));
            }
        }
    }

    /// When the monolith's answer began, where there is one.
    pub fn first_byte(&self) -> Option<Instant> {
        self.first_byte
    }

    /// Whether any objective speaks about it.
    pub fn is_promised(&self) -> bool {
        !self.decision.spoken.is_empty()
    }

    /// The monolith has said what its answer is to count for.
    pub fn said(&mut self, said: Said) {
        self.said = Some(said);
    }

    /// usher answers itself.
    pub fn made_up(&mut self, fault: Fault) {
        self.fault = Some(fault);
        self.status = Some(self.status_for(fault));
        self.first_byte = None;
    }

    /// The status of the answer that usher makes up because of `fault`.
    pub fn status_for(&self, fault: Fault) -> StatusCode {
        let own = self.answer_to(fault).map(|answer| answer.status);
        own.unwrap_or_else(|| fault.status_for(self.asked.method.as_ref()))
    }

    /// So many bytes of body have been handed to the door.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The endpoint that was asked last.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        let leased = self.lease.as_ref().map(|held| held.lease.endpoint());
        leased.or(self.endpoint.as_ref())
    }

    /// What clients of its listener may cost; the defaults for one that has been removed.
    pub fn limits(&self) -> Limits {
        let listener = self.view.listener(&self.asked.peer.listener);
        listener.map(|listener| listener.limits.clone()).unwrap_or_default()
    }

    /// An attempt is repeated for `reason`.
    pub fn retried(&mut self, reason: Retry) {
        if reason == Retry::Replayed {
            self.tries.replay();
        }
        if let Some(pool) = self.pool() {
            pool.meter.retried(self.worker.index, reason);
        }
    }

    /// Settles the ledger, and tells when that was; only the first call does anything.
    pub fn settle(&mut self, end: End) -> Option<Instant> {
        if std::mem::replace(&mut self.settled, true) {
            return None;
        }
        self.give_back(None);
        self.turns.clear();
        if let Some(flow) = self.flow.take() {
            self.bytes_in = flow.bytes();
            self.read_whole = flow.ended_at();
        }
        if let End::Broken(fault) = end {
            // A refusal stays a refusal when the client does not wait for it.
            self.fault.get_or_insert(fault);
        }
        let now = Instant::now();
        self.write_down(now);
        Some(now)
    }

    /// Feeds all that is fed by a request that ended `now`.
    fn write_down(&self, now: Instant) {
        let outcome = self.fault.map_or(Outcome::Served, Fault::outcome);
        let (answered, total) = (self.first_byte.is_some(), self.total(now));
        let settled = Settled {
            status: self.status.filter(|_| outcome != Outcome::Abandoned),
            outcome,
            fault: self.fault,
            first_byte: self.since_read_whole(self.first_byte),
            duration: answered.then_some(total),
        };
        self.audience().meter.settle(self.worker.index, &settled);
        if self.is_promised() {
            // Mostly there was no body, and it had been read whole when it arrived.
            let whole = self.read_whole == Some(self.arrived);
            let ended = if whole { Some(total) } else { self.since_read_whole(Some(now)) };
            self.count_promises(&settled, ended.unwrap_or_default());
        }
        if self.worker.common.log.is_on() {
            self.log(&settled, total);
        }
        if self.worker.common.memory.is_on() {
            self.remember(&settled, total);
        }
    }

    fn total(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.arrived)
    }

    fn count_promises(&self, settled: &Settled, ended: Duration) {
        let ended = slo::Ended {
            status: self.status,
            fault: self.fault,
            first_byte: settled.first_byte,
            ended,
            said: self.said,
        };
        for counted in &self.audience().promises {
            if self.decision.spoken.contains(counted.promise.objective)
                && let Some(verdict) = counted.promise.judge(&ended)
            {
                counted.meter.count(self.worker.index, verdict);
            }
        }
    }

    fn since_read_whole(&self, at: Option<Instant>) -> Option<Duration> {
        // An answer that begins before a streamed body has ended took no time at all.
        let at = at?;
        Some(self.read_whole.map_or(Duration::ZERO, |whole| at.saturating_duration_since(whole)))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Whoever held it was dropped with it: by a panic, because what was left has been cut, or
        // because the client has left.
        if std::thread::panicking() {
            self.made_up(Fault::Panicked);
            super::panics::leave(&self.asked, self.view.config.fault_header);
        }
        let stopping = self.worker.common.drain.stage() >= Stage::Cutting;
        let fault = if stopping { Fault::Draining } else { Fault::ClientLeft };
        self.settle(End::Broken(fault));
    }
}
