//! From an admitted request to the monolith's answer: the only loop.
//!
//! An attempt takes a lease and a connection, sends, and judges what comes back. A reused
//! connection that had died is replaced, and the request replayed; whether there is another attempt
//! after one that failed is decided by [`again`]. Everything else ends with a fault.

mod again;
mod connect;
mod fitness;
mod judge;

use std::{pin::pin, time::Instant as Clock};

use http::{HeaderMap, request::Parts};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    contact::Contact,
    exchange::Exchange,
    handshake::Handshake,
    headers::{self, Brought, Framing, Introduction},
    hold::hold,
    memory::Ended,
    orphan::Dispatched,
    slot::{Errand, slot, slot_at_once},
    upgrade::Tunnel,
    upload::{Sent, Upload, sent},
};
use crate::{
    body::Body,
    config::Timeouts,
    deadline::Wheel,
    fault::Fault,
    http1::lines::Lines,
    meters::Retry,
    policy::retry::Failure,
    upstream::{Connection, Evidence, Grant},
};

/// How often one attempt is made again because a connection, and not its endpoint, had ended: a new
/// one may be given up by an endpoint that speaks HTTP/2 and is leaving.
const REPLAYS_MAX: usize = 2;

/// What the monolith said.
pub enum Said {
    /// An answer, whose body the exchange carries.
    Answer(http::response::Parts),
    /// That it speaks WebSocket from here on.
    Switched(http::response::Parts, Box<Tunnel>),
}

/// A request on its way, and what is known of its attempts.
struct Journey<'a> {
    exchange: &'a mut Exchange,
    head: &'a mut Parts,
    /// What of the head lies outside of its map.
    lines: &'a mut Lines,
    contact: &'a Contact,
    upload: Upload,
    timeouts: Timeouts,
    total_at: Instant,
    tried: SmallVec<[u32; 4]>,
    /// Whether doing it twice is doing it once.
    repeatable: bool,
    /// Why its audience's own pool cannot take it: it goes to another.
    lost: Option<Fault>,
    handshake: Option<Handshake>,
}

/// How an attempt ended that brought no answer.
enum Failed {
    /// There is no connection; the endpoint has seen nothing.
    Unconnected,
    /// A reused connection had died, and the request may be sent again.
    Stale,
    /// Nothing of an answer has come, and this is what it means when it is the last attempt.
    Unanswered(Failure, Fault),
    /// There was an answer, and another attempt is made instead.
    Left,
    /// The request is over.
    Fault(Fault),
}

/// Takes the request to an endpoint of its pool, and brings the answer's head.
pub async fn forward(
    exchange: &mut Exchange,
    head: &mut Parts,
    lines: &mut Lines,
    contact: &Contact,
    brought: Brought,
    body: Body,
) -> Result<Said, Fault> {
    if headers::has_passed(&head.headers, &exchange.worker().common.pseudonym) {
        return Err(Fault::LoopDetected);
    }
    let handshake = if brought.websocket { Some(enter(exchange, &head.headers)?) } else { None };
    let Some(pool) = exchange.pool() else { return Err(Fault::NoEndpoint) };
    let timeouts = exchange.timeouts(pool);
    let upload = match Upload::none(exchange, &body) {
        Some(none) => none,
        // On the heap, as below.
        None => Box::pin(Upload::take(exchange, body)).await?,
    };
    if exchange.worker().common.gates.in_force() {
        // On the heap, so that all other requests' futures stay as small as they are.
        Box::pin(hold(exchange, contact)).await?;
    }
    let mut journey = Journey {
        total_at: Instant::from_std(exchange.begins()) + timeouts.total,
        exchange,
        head,
        lines,
        contact,
        upload,
        timeouts,
        tried: SmallVec::new(),
        repeatable: false,
        lost: None,
        handshake,
    };
    journey.repeatable = again::is_repeatable(journey.exchange, journey.head, &journey.upload);
    journey.introduce(brought);
    pin!(journey.travel()).await
}

/// Checks a handshake, and takes a place among the tunnels before anything is sent: a WebSocket
/// that must be cut off again would cost Rails more than one that was refused.
fn enter(exchange: &Exchange, headers: &HeaderMap) -> Result<Handshake, Fault> {
    Handshake::check(headers)?;
    let max = exchange.limits().tunnels;
    let place = exchange.worker().common.tunnels.enter(max).ok_or(Fault::TunnelLimit)?;
    Ok(Handshake::begin(headers, place))
}

// === impl Journey ===

impl Journey<'_> {
    /// Writes the head as Rails is to see it.
    fn introduce(&mut self, brought: Brought) {
        let framing = match &self.upload {
            Upload::None => Framing::None,
            Upload::Gathered(gathered) => match gathered.trailer_names() {
                Some(names) => Framing::Trailers(names),
                None => Framing::Length(gathered.len()),
            },
            Upload::Streamed(..) => Framing::AsDeclared,
        };
        let exchange = &*self.exchange;
        let said = Introduction {
            peer: &exchange.asked().peer,
            protocol: exchange.asked().protocol,
            audience: exchange.audience_header(),
            request_id: &exchange.asked().request_id,
            host: exchange.asked().host.as_ref(),
            arrived_ms: exchange.arrived_ms(),
            pseudonym: &exchange.worker().common.pseudonym,
            framing,
            brought,
        };
        headers::introduce(&mut self.head.headers, self.lines, &said);
        self.head.version = http::Version::HTTP_11;
    }

    async fn travel(&mut self) -> Result<Said, Fault> {
        // Bounded by the policy's attempts, which `goes_on` counts, and one more elsewhere.
        loop {
            let attempted = pin!(self.attempt()).await;
            self.exchange.attempt_ended(match &attempted {
                Ok(_) | Err(Failed::Left) => Ended::Answered,
                Err(Failed::Unconnected | Failed::Stale) => Ended::Unconnected,
                Err(Failed::Unanswered(_, fault) | Failed::Fault(fault)) => Ended::Fault(*fault),
            });
            let (failure, fault) = match attempted {
                Ok(said) => return Ok(said),
                Err(Failed::Left) => continue,
                // Only a reused connection is stale, and that was replayed on a new one.
                Err(Failed::Unconnected | Failed::Stale) => (Failure::Connect, Fault::NoEndpoint),
                Err(Failed::Unanswered(failure, fault)) => (failure, fault),
                Err(Failed::Fault(fault)) => return Err(fault),
            };
            if !self.goes_on(failure) && !self.goes_away(failure, fault) {
                return Err(fault);
            }
        }
    }

    /// One attempt, and its replays where a connection had died before it could be used.
    async fn attempt(&mut self) -> Result<Said, Failed> {
        let errand = Errand {
            head: self.head,
            contact: self.contact,
            tried: &self.tried,
            tunnel: self.handshake.is_some(),
            now: Clock::now(),
            total_at: self.total_at,
            lost: self.lost,
        };
        let granted = match slot_at_once(self.exchange, errand) {
            Some(granted) => granted,
            // On the heap, so that the futures of requests that need not wait stay small.
            None => Box::pin(slot(self.exchange, errand)).await.map_err(Failed::Fault)?,
        };
        let (Grant { lease, spare }, taken) = granted;
        if self.exchange.is_away()
            && let Some(pool) = self.exchange.pool()
        {
            self.timeouts = self.exchange.timeouts(pool);
        }
        self.tried.push(lease.endpoint().id());
        self.exchange.attempt(lease, taken);
        let came = spare.and_then(|spare| self.accept(spare));
        let mut way = match came.or_else(|| self.idle(taken)) {
            Some(connection) => (connection, taken),
            None => self.connect().await?,
        };
        for _ in 0..REPLAYS_MAX {
            let sent = pin!(self.send(way)).await;
            match sent {
                Err(Failed::Stale) => self.exchange.retried(Retry::Replayed),
                ended => return ended,
            }
            way = self.connect().await?;
        }
        pin!(self.send(way)).await
    }

    /// Sends the request on a connection that it has had since a moment, and waits for the head of
    /// an answer.
    async fn send(&mut self, way: (Connection, Clock)) -> Result<Said, Failed> {
        let (mut connection, since) = way;
        let mut begun = Instant::from_std(since);
        if self.handshake.is_some() && connection.is_shared() {
            let until = self.total_at.min(Instant::now() + self.timeouts.first_byte);
            let late = match until == self.total_at {
                true => Fault::TotalTimeout,
                false => Fault::FirstByteTimeout,
            };
            let wheel = self.exchange.worker().wheel.clone();
            Box::pin(admitted(&mut connection, &wheel, until, late)).await?;
            begun = Instant::now();
        }
        let body = self.upload.body().ok_or(Failed::Fault(Fault::UpstreamBroke))?;
        let read_before = connection.bytes_read();
        connection.send(self.head, self.lines, body);
        let (first_byte, total_at) = (self.timeouts.first_byte, self.total_at);
        let mut deadline = self.exchange.take_deadline();
        let flow = self.upload.flow();
        let client = self.contact.informational.as_ref();
        let mut dispatched = Dispatched::new(self.exchange, connection, client, flow.clone());
        let sending = sent(flow, &mut deadline, begun, first_byte, total_at, &mut dispatched);
        let sent = pin!(sending).await;
        let untouched = dispatched.bytes_read() == read_before;
        let connection = dispatched.end();
        self.exchange.lend(deadline);
        match (sent, connection) {
            (Sent::Answered(Ok(response)), Some(connection)) => self.judge(response, connection),
            (Sent::Answered(Err(broken)), Some(connection)) => {
                connection.broke_at(&broken);
                Err(self.diagnose(&broken, connection, untouched))
            }
            // The lease has been orphaned, with the connection.
            (Sent::Late(fault), _) => {
                // After others, the deadline of the whole left this one less than its time.
                let had_its_time = fault == Fault::FirstByteTimeout;
                if had_its_time || self.exchange.attempts() == 1 {
                    self.exchange.endpoint_failed(Evidence::Late, || fault.to_string());
                }
                // What has come may have been passed on already: a 103.
                Err(match had_its_time && untouched {
                    true => Failed::Unanswered(Failure::FirstByte, fault),
                    false => Failed::Fault(fault),
                })
            }
            (Sent::Answered(_), None) => Err(Failed::Fault(Fault::UpstreamBroke)),
        }
    }
}

/// Whether a WebSocket may be asked for on `connection`; known at `until`, or it is `late`. Where
/// it may not, that is how the endpoint is set up and no failure of it, and others of its pool are
/// no better.
async fn admitted(
    connection: &mut Connection,
    wheel: &Wheel,
    until: Instant,
    late: Fault,
) -> Result<(), Failed> {
    match wheel.within(until, connection.admits_websockets()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failed::Fault(Fault::UpstreamUpgrade)),
        Err(_) => Err(Failed::Fault(late)),
    }
}
