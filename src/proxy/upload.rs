//! A request's body as an attempt needs it: absent, gathered, or streamed as it comes.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant as Clock},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    buffers::Kind,
    exchange::Exchange,
    gather::{Gathered, Room},
};
use crate::{body::Body, deadline::Deadline, fault::Fault};

/// A request's body on its way to an endpoint.
pub enum Upload {
    /// There is none.
    None,
    /// It has been read whole.
    Gathered(Gathered),
    /// It is passed on as it comes, once.
    Streamed(Option<Body>, Arc<Flow>),
}

/// How sending a request ended.
pub enum Sent<E> {
    /// With the head of an answer, or without.
    Answered(Result<Response<()>, E>),
    /// Not in time.
    Late(Fault),
}

/// What is known of a streamed body.
#[derive(Debug, Default)]
pub struct Flow {
    bytes: AtomicU64,
    ended: Notify,
    ended_at: OnceLock<Clock>,
    /// When the endpoint took the last piece; none while it is the client that is waited for.
    taken_at: Mutex<Option<Clock>>,
}

/// A streamed body that tells when its last byte has gone.
struct Streamed {
    body: Body,
    flow: Arc<Flow>,
}

// === impl Upload ===

impl Upload {
    /// That of a request without a body, which has been read whole when it arrived.
    pub fn none(exchange: &mut Exchange, body: &Body) -> Option<Self> {
        if !body.is_end_stream() {
            return None;
        }
        exchange.read_whole(exchange.arrived(), 0);
        Some(Self::None)
    }

    /// Takes over `body` as the pool wants it, and notes when the request has been read whole.
    pub async fn take(exchange: &mut Exchange, body: Body) -> Result<Self, Fault> {
        let Some(pool) = exchange.pool() else { return Err(Fault::NoEndpoint) };
        let buffer = &pool.config.buffer;
        if !buffer.request {
            let flow = Arc::new(Flow::default());
            let body = Body::new(Streamed { body, flow: flow.clone() });
            exchange.streams(flow.clone());
            return Ok(Self::Streamed(Some(body), flow));
        }
        let room = Room { directory: buffer.directory.clone(), bytes_max: buffer.disk_bytes };
        let (common, share) = (exchange.worker().common.clone(), exchange.share(Kind::Request));
        let gathered = common.spool.gather(body, &room, share).await?;
        exchange.read_whole(Clock::now(), gathered.len());
        Ok(Self::Gathered(gathered))
    }

    /// The body for an attempt; `None` when it has gone with another one.
    pub fn body(&mut self) -> Option<Body> {
        match self {
            Upload::None => Some(Body::empty()),
            Upload::Gathered(gathered) => Some(gathered.body()),
            Upload::Streamed(body, _) => body.take(),
        }
    }

    /// The body comes back from an attempt that has not touched it.
    pub fn restore(&mut self, untouched: Body) {
        match self {
            Upload::None | Upload::Gathered(_) => {}
            Upload::Streamed(body, _) => *body = Some(untouched),
        }
    }

    /// Whether the body is still whole.
    pub fn can_be_sent_again(&self) -> bool {
        match self {
            Upload::None | Upload::Gathered(_) => true,
            Upload::Streamed(body, _) => body.is_some(),
        }
    }

    /// What is known of a body that is streamed.
    pub fn flow(&self) -> Option<Arc<Flow>> {
        match self {
            Upload::None | Upload::Gathered(_) => None,
            Upload::Streamed(_, flow) => Some(flow.clone()),
        }
    }
}

// === impl Flow ===

impl Flow {
    /// Bytes that have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last of them did.
    pub fn ended_at(&self) -> Option<Clock> {
        self.ended_at.get().copied()
    }

    /// The endpoint has taken a piece, or the client has none.
    fn took(&self, piece: bool) {
        *self.taken_at.lock() = piece.then(Clock::now);
    }

    /// Ready once the endpoint has taken nothing for `wait` although there was something for it.
    async fn stalled(&self, deadline: &mut Deadline, wait: Duration) {
        loop {
            let idle = self.taken_at.lock().map_or(Duration::ZERO, |at| at.elapsed());
            if idle >= wait {
                return;
            }
            deadline.reset(Instant::now() + (wait - idle));
            (&mut *deadline).await;
        }
    }

    fn end(&self) {
        if self.ended_at.set(Clock::now()).is_ok() {
            self.ended.notify_one();
        }
    }
}

// === impl Streamed ===

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.flow.took(polled.is_ready());
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.flow.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.flow.end();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Waits for `sending`, which begins at `begun`, by means of `deadline`. The answer may take
/// `first_byte` from the last byte sent, and must begin before `total_at`, unless the body is still
/// coming. An endpoint that takes nothing of a body for as long as `first_byte` is late as well:
/// nothing else would end that.
pub async fn sent<E>(
    flow: Option<Arc<Flow>>,
    deadline: &mut Deadline,
    mut begun: Instant,
    first_byte: Duration,
    mut total_at: Instant,
    sending: impl Future<Output = Result<Response<()>, E>>,
) -> Sent<E> {
    let mut sending = pin!(sending);
    let late = || Sent::Late(Fault::FirstByteTimeout);
    if let Some(flow) = flow {
        flow.took(true);
        // On the heap, so that the futures of requests without a body stay small. `sending` is
        // polled by reference and not lost; the others only wait.
        let passed_on = Box::pin(async {
            tokio::select! {
                biased;
                answered = &mut sending => Some(Sent::Answered(answered)),
                () = flow.ended.notified() => None,
                () = flow.stalled(deadline, first_byte) => Some(late()),
            }
        });
        if let Some(sent) = passed_on.await {
            return sent;
        }
        begun = Instant::now();
        total_at = total_at.max(begun + first_byte);
    }
    let first_byte_at = begun + first_byte;
    deadline.reset(first_byte_at.min(total_at));
    match pin!(deadline.before(sending)).await {
        Ok(answered) => Sent::Answered(answered),
        Err(_late) if total_at <= first_byte_at => Sent::Late(Fault::TotalTimeout),
        Err(_late) => late(),
    }
}
