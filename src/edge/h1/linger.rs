//! The end of a connection that still has something to read or to be read (RFC 9112 §9.6).
//!
//! Closing a socket with unread bytes in it resets the connection, and a reset can overtake and
//! destroy the answer that was just written. So the write side is closed first, and what the
//! client still sends is thrown away, within bounds.

use std::{future::poll_fn, task::Poll, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::deadline::Wheel;

use super::{super::Stream, exchange::Manner, intake::Intake};

/// How much is thrown away at most.
pub(super) const DRAINED_BYTES_MAX: u64 = 64 * 1024;

/// How long is waited at most.
const WAIT: Duration = Duration::from_secs(1);

/// Reads and throws away the rest of a request's body. `true` when it ended within the bounds.
pub(super) async fn discard_rest(intake: &Mutex<Intake>, wheel: &Wheel) -> bool {
    let mut drained = intake.lock().buffer.len() as u64;
    let discard = poll_fn(|cx| {
        let mut intake = intake.lock();
        loop {
            match intake.discard() {
                Ok(true) => return Poll::Ready(true),
                Ok(false) if drained <= DRAINED_BYTES_MAX => {}
                Ok(false) | Err(_) => return Poll::Ready(false),
            }
            match intake.poll_fill(cx) {
                Poll::Ready(Ok(read)) if read > 0 => drained += read as u64,
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    wheel.within(Instant::now() + WAIT, discard).await.unwrap_or(false)
}

/// Closes the connection in the given manner.
pub(super) async fn close(stream: &Stream, intake: &Mutex<Intake>, wheel: &Wheel, manner: Manner) {
    match manner {
        Manner::Now => stream.say_end(),
        Manner::Reset => stream.reset_on_close(),
        Manner::Linger => {
            if stream.finish().is_ok() && !intake.lock().half_closed() {
                // Late is as good as done: it is closed either way.
                let _ = wheel.within(Instant::now() + WAIT, drain(intake)).await;
            }
        }
    }
}

/// Throws away all that comes until the client's end, within the bound.
async fn drain(intake: &Mutex<Intake>) {
    let mut drained = 0;
    poll_fn(|cx| {
        let mut intake = intake.lock();
        loop {
            intake.buffer.clear();
            match intake.poll_fill(cx) {
                Poll::Ready(Ok(read)) if read > 0 && drained <= DRAINED_BYTES_MAX => {
                    drained += read as u64;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
