//! What an endpoint over HTTP/2 says first: its settings, and among them whether it lets WebSockets
//! pass (RFC 8441 §3).
//!
//! A WebSocket must not be asked for before that is known. The `h2` crate does not tell settings
//! that have not come from settings without it; so the first frame is looked at on its way in. It
//! is SETTINGS, or nothing that is HTTP/2 (RFC 9113 §3.4).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::{latency::clock_ms, wire::Stream};

/// The head of a frame (RFC 9113 §4.1).
const HEAD_BYTES: usize = 9;

/// A setting: two bytes of its name, four of its value (RFC 9113 §6.5.1).
const SETTING_BYTES: usize = 6;

/// `SETTINGS_ENABLE_CONNECT_PROTOCOL`, switched on (RFC 8441 §3).
const CONNECTS: [u8; SETTING_BYTES] = [0, 8, 0, 0, 0, 1];

/// Nothing has been said yet.
const SILENT: u8 = 0;
/// WebSockets do not pass.
const REFUSES: u8 = 1;
/// They do.
const ADMITS: u8 = 2;
/// The connection ended before it was said.
const GONE: u8 = 3;

/// What has been heard of an endpoint's settings.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    heard: AtomicU8,
    /// When a byte came last, by the clock of `latency`.
    heard_ms: AtomicU64,
    told: Notify,
}

/// A stream whose first frame is looked at.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: Stream,
    greeting: Arc<Greeting>,
    first: Option<First>,
}

/// How far the first frame has come.
#[derive(Debug, Default)]
struct First {
    head: [u8; HEAD_BYTES],
    setting: [u8; SETTING_BYTES],
    /// How many bytes of the frame have come.
    seen: usize,
    admits: bool,
}

// === impl Greeting ===

impl Greeting {
    /// Whether WebSockets may be asked for, once the endpoint has said so. Where the connection has
    /// ended they may: it is the request that tells how.
    pub(super) async fn admits_websockets(&self) -> bool {
        loop {
            let told = self.told.notified();
            match self.heard.load(Ordering::Acquire) {
                SILENT => told.await,
                heard => return heard != REFUSES,
            }
        }
    }

    /// When a byte came last, by the clock of `latency`.
    pub(super) fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    fn tell(&self, heard: u8) {
        let told = Ordering::AcqRel;
        if self.heard.compare_exchange(SILENT, heard, told, Ordering::Acquire).is_ok() {
            self.told.notify_waiters();
        }
    }
}

// === impl Greeted ===

impl Greeted {
    pub(super) fn new(stream: Stream) -> (Self, Arc<Greeting>) {
        let greeting = Arc::<Greeting>::default();
        greeting.heard_ms.store(clock_ms(Instant::now()), Ordering::Relaxed);
        let first = Some(First::default());
        (Self { stream, greeting: greeting.clone(), first }, greeting)
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        self.greeting.tell(GONE);
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.greeting.heard_ms.store(clock_ms(Instant::now()), Ordering::Relaxed);
        if let Some(first) = &mut self.first
            && let Some(admits) = first.pass(&buffer.filled()[before..])
        {
            self.first = None;
            self.greeting.tell(if admits { ADMITS } else { REFUSES });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }
}

// === impl First ===

impl First {
    /// Takes the bytes that come next; once the frame has ended, whether WebSockets pass.
    fn pass(&mut self, bytes: &[u8]) -> Option<bool> {
        for &byte in bytes {
            match self.seen.checked_sub(HEAD_BYTES) {
                None => self.head[self.seen] = byte,
                Some(at) => {
                    let at = at % SETTING_BYTES;
                    self.setting[at] = byte;
                    if at == SETTING_BYTES - 1 {
                        self.admits |= self.setting == CONNECTS;
                    }
                }
            }
            self.seen += 1;
            if self.seen >= HEAD_BYTES && self.seen - HEAD_BYTES >= self.length() {
                return Some(self.admits);
            }
        }
        None
    }

    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.head;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of `bytes` is heard when they come in pieces of `size`, and in which piece.
    fn heard(bytes: &[u8], size: usize) -> Option<(usize, bool)> {
        let mut first = First::default();
        let mut pieces = bytes.chunks(size).enumerate();
        pieces.find_map(|(at, piece)| Some((at, first.pass(piece)?)))
    }

    #[test]
    fn settings_are_heard_however_they_come() {
        let frame = |settings: &[[u8; 6]]| {
            let length = settings.len() as u8 * 6;
            [&[0, 0, length, 4, 0, 0, 0, 0, 0][..], &settings.concat(), b"more"].concat()
        };
        let other = [0, 3, 0, 0, 0, 100];
        for (settings, admits) in [
            (&[][..], false),
            (&[other], false),
            (&[[0, 8, 0, 0, 0, 0]], false),
            (&[CONNECTS], true),
            (&[other, CONNECTS, other], true),
        ] {
            let bytes = frame(settings);
            assert_eq!(heard(&bytes, 100), Some((0, admits)), "{settings:?}");
            let last = 9 + settings.len() * 6 - 1;
            assert_eq!(heard(&bytes, 1), Some((last, admits)), "{settings:?}");
            assert_eq!(heard(&bytes[..last], 1), None, "{settings:?}");
        }
    }
}
