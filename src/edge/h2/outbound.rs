//! The writing side of a connection: what goes out in one turn of its task, in few calls.
//!
//! The crate writes behind every piece of a body that is not tiny. What it writes is laid behind
//! each other here, until the connection says that the turn is over: the answers of several streams
//! leave in one call, and within TLS in one record. A large piece is not copied; it goes at once,
//! along with what lies here.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::time::Instant;

use crate::{
    deadline::{Deadline, Wheel},
    edge::{
        Stream,
        h1::buffer::{self, BUFFER_BYTES},
    },
    meters::Http2End,
};

use super::wire::Watch;

/// The most that is copied of what is offered at once, in bytes.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// The crate offers a frame's head and its payload.
const SLICES_MAX: usize = 4;

/// What has been written by the crate, and not by the system.
pub(super) struct Outbound {
    /// Empty, and without a buffer, between two turns.
    text: BytesMut,
    /// Whether anything is laid here rather than written at once.
    gathers: bool,
    /// Whether the socket has not taken what was given to it.
    stuck: bool,
    /// Whether the crate still has what it was about to write.
    refused: bool,
    /// Why nothing more can be written, until the crate has been told.
    error: Option<io::Error>,
    stalled: Option<Deadline>,
    wheel: Wheel,
    write_wait: Duration,
    watch: Arc<Watch>,
    /// Bytes that have been written, since somebody asked.
    written: usize,
}

// === impl Outbound ===

impl Outbound {
    /// Nothing has been written, and all is written at once.
    pub(super) fn new(wheel: Wheel, write_wait: Duration, watch: Arc<Watch>) -> Self {
        Self {
            text: BytesMut::new(),
            gathers: false,
            stuck: false,
            refused: false,
            error: None,
            stalled: None,
            wheel,
            write_wait,
            watch,
            written: 0,
        }
    }

    /// From now on somebody says when a turn is over.
    pub(super) fn gather(&mut self) {
        self.gathers = true;
    }

    /// Takes what the crate offers, as far as there is room.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        offered: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = self.poll_lay(cx, stream, offered);
        self.refused = taken.is_pending();
        taken
    }

    fn poll_lay(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        offered: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_free(cx, stream))?;
        let bytes = offered.iter().map(|slice| slice.len()).sum();
        if self.gathers && bytes <= COPIED_BYTES_MAX {
            if self.text.len() + bytes > BUFFER_BYTES {
                ready!(self.poll_send(cx, stream))?;
            }
            if self.text.capacity() == 0 {
                self.text = buffer::take();
            }
            offered.iter().for_each(|slice| self.text.extend_from_slice(slice));
            return Poll::Ready(Ok(bytes));
        }
        loop {
            let laid = self.text.len();
            match self.write_with(stream, offered) {
                Ok(written) if written > laid => return Poll::Ready(Ok(written - laid)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_room(cx, stream))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes once: what lies here, and as much of what is offered as the socket takes.
    fn write_with(&mut self, stream: &Stream, offered: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let laid = (!self.text.is_empty()).then(|| IoSlice::new(&self.text));
        for slice in laid.into_iter().chain(offered.iter().copied()).take(SLICES_MAX) {
            slices[count] = slice;
            count += 1;
        }
        let written = stream.write(&slices[..count])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        // TLS takes more than the socket does, and may be given more only when that has gone.
        self.stuck |= stream.is_waiting();
        Ok(written)
    }

    /// Ready when all that lies here has left, the part included that TLS has taken over.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            let sent = if stream.is_waiting() {
                stream.flush().map(|_| self.stalled = None)
            } else if self.text.is_empty() {
                self.stuck = false;
                if self.text.capacity() > 0 {
                    buffer::give(std::mem::take(&mut self.text));
                }
                return Poll::Ready(Ok(()));
            } else {
                self.write_with(stream, &[]).map(drop)
            };
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_room(cx, stream))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ready when the socket has room. It fails when the client takes nothing for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<()>> {
        self.stuck = true;
        if let Poll::Ready(ready) = stream.poll_write_ready(cx) {
            return Poll::Ready(ready);
        }
        let (wheel, wait) = (&self.wheel, self.write_wait);
        let stalled = self.stalled.get_or_insert_with(|| wheel.at(Instant::now() + wait));
        ready!(Pin::new(stalled).poll(cx));
        self.watch.end(Http2End::WriteStalled);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready when the socket has taken what it was given; what lies here may go on doing so.
    pub(super) fn poll_free(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
    ) -> Poll<io::Result<()>> {
        match self.error.take() {
            Some(error) => Poll::Ready(Err(error)),
            None if self.gathers && !self.stuck => Poll::Ready(Ok(())),
            None => self.poll_send(cx, stream),
        }
    }

    /// The turn is over: all that lies here goes out. Whether it has, and the crate has no more;
    /// where it cannot, `cx` is woken, for the crate to be told.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>, stream: &Stream) -> bool {
        match self.poll_send(cx, stream) {
            Poll::Ready(Ok(())) => !self.refused,
            Poll::Ready(Err(error)) => {
                self.error = Some(error);
                cx.waker().wake_by_ref();
                false
            }
            Poll::Pending => false,
        }
    }

    /// Bytes that have been written since this was asked last.
    pub(super) fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    fn advance(&mut self, written: usize) {
        self.stalled = None;
        self.written += written;
        self.text.advance(written.min(self.text.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use tokio::{
        io::{AsyncRead, ReadBuf},
        net::UnixStream,
    };

    use super::*;
    use crate::deadline;

    /// The writing side of a connection that gathers, and the client's end of it.
    fn outbound() -> (Outbound, Stream, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        let wheel = deadline::Wheel::start();
        let mut outbound = Outbound::new(wheel, Duration::from_secs(60), Arc::default());
        outbound.gather();
        (outbound, Stream::plain(near), far)
    }

    fn offer(outbound: &mut Outbound, stream: &Stream, bytes: &[u8]) -> Poll<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let (head, rest) = bytes.split_at(bytes.len().min(9));
        let slices = [IoSlice::new(head), IoSlice::new(rest)];
        outbound.poll_take(&mut cx, stream, &slices).map(|taken| taken.expect("no error"))
    }

    fn finish(outbound: &mut Outbound, stream: &Stream) -> bool {
        outbound.finish(&mut Context::from_waker(Waker::noop()), stream)
    }

    #[tokio::test]
    async fn pieces_leave_together_when_the_turn_is_over() {
        let (mut outbound, stream, far) = outbound();
        poll_fn(|cx| stream.poll_write_ready(cx)).await.expect("a socket");
        for piece in ["HEADERS of one", "DATA", "HEADERS of another"] {
            assert_eq!(offer(&mut outbound, &stream, piece.as_bytes()), Poll::Ready(piece.len()));
        }
        let mut read = [0; 100];
        let waits = far.try_read(&mut read).expect_err("nothing has left");
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        assert!(finish(&mut outbound, &stream));
        assert_eq!(outbound.text.capacity(), 0, "it keeps no buffer");
        far.readable().await.expect("a socket");
        let count = far.try_read(&mut read).expect("all of them");
        assert_eq!(&read[..count], b"HEADERS of oneDATAHEADERS of another");
        assert_eq!(outbound.take_written(), count);
    }

    #[tokio::test]
    async fn nothing_is_lost_or_changes_its_place_when_the_client_is_slow() {
        let (mut outbound, stream, mut far) = outbound();
        poll_fn(|cx| stream.poll_write_ready(cx)).await.expect("a socket");
        let mut sent = Vec::new();
        let mut refused = false;
        for number in 0_u32.. {
            // Some are gathered, some are too large for it.
            let length = if number % 3 == 0 { 3 * COPIED_BYTES_MAX } else { 1000 };
            let piece: Vec<u8> = (0..length as u32).map(|at| (at / 7 + number) as u8).collect();
            let mut left = &piece[..];
            while let Poll::Ready(taken) = offer(&mut outbound, &stream, left) {
                sent.extend_from_slice(&left[..taken]);
                left = &left[taken..];
                if left.is_empty() {
                    break;
                }
            }
            refused = !left.is_empty();
            if refused {
                break;
            }
        }
        assert!(refused && !finish(&mut outbound, &stream), "the client took all of it");
        let mut read = Vec::new();
        while read.len() < sent.len() {
            poll_fn(|cx| {
                // What still lies here goes on as there is room.
                let _ = outbound.poll_send(cx, &stream);
                let mut room = [0; 4096];
                let mut buffer = ReadBuf::new(&mut room);
                let polled = Pin::new(&mut far).poll_read(cx, &mut buffer);
                polled.map(|polled| polled.map(|()| read.extend_from_slice(buffer.filled())))
            })
            .await
            .expect("a socket");
        }
        assert!(read == sent, "{} bytes were sent, {} read", sent.len(), read.len());
    }

    #[tokio::test]
    async fn a_client_that_has_left_is_an_error_that_the_crate_is_told_once() {
        let (mut outbound, stream, far) = outbound();
        poll_fn(|cx| stream.poll_write_ready(cx)).await.expect("a socket");
        drop(far);
        assert!(offer(&mut outbound, &stream, b"HEADERS").is_ready());
        assert!(!finish(&mut outbound, &stream));
        let mut told = || {
            let mut cx = Context::from_waker(Waker::noop());
            outbound.poll_free(&mut cx, &stream)
        };
        assert!(matches!(told(), Poll::Ready(Err(_))));
        assert!(matches!(told(), Poll::Ready(Ok(()))));
    }
}
