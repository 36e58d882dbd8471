//! A stream as bytes: what a WebSocket over HTTP/2 is to its tunnel (RFC 8441).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::delivery::Piece;

/// The most that is written at once, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Both sides of one stream. Dropped before it was shut down, it resets the stream.
pub(super) struct Duplex {
    received: RecvStream,
    sent: SendStream<Piece>,
    /// What has been received and not read.
    unread: Bytes,
}

// === impl Duplex ===

impl Duplex {
    pub(super) fn new(received: RecvStream, sent: SendStream<Piece>) -> Self {
        Self { received, sent, unread: Bytes::new() }
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() {
            match ready!(this.received.poll_data(cx)) {
                Some(Ok(data)) => this.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let bytes = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.unread[..bytes]);
        this.unread.advance(bytes);
        // Room is given for what has been read: the other side's pace is the client's. It fails
        // only where the stream has ended, which the next look at it tells.
        let _ = this.received.flow_control().release_capacity(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wanted = bytes.len().min(PIECE_BYTES_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let stream = &mut self.sent;
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        stream.reserve_capacity(wanted);
        loop {
            let room = stream.capacity().min(wanted);
            if room > 0 {
                let piece = Piece::of_tunnel(Bytes::copy_from_slice(&bytes[..room]));
                return Poll::Ready(
                    stream.send_data(piece, false).map(|()| room).map_err(io_error),
                );
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let last = Piece::of_tunnel(Bytes::new());
        Poll::Ready(self.sent.send_data(last, true).map_err(io_error))
    }
}

fn io_error(error: h2::Error) -> io::Error {
    error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}
