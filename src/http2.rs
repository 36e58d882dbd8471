//! What of HTTP/2 is read and written alike on both sides: a stream as bytes, which is what a
//! WebSocket over HTTP/2 is to its tunnel (RFC 8441).

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Fields that speak about a connection: each makes a message malformed (RFC 9113 §8.2.2).
pub const OF_A_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The most that is written at once, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Both sides of one stream. Dropped before it was shut down, it resets the stream.
pub struct Duplex<B: Buf> {
    received: RecvStream,
    sent: SendStream<B>,
    /// What has been received and not read.
    unread: Bytes,
    /// Whether it has been shut down: nothing more is written.
    shut: bool,
}

// === impl Duplex ===

impl<B: Buf> Duplex<B> {
    /// What is received and what is sent on one stream.
    pub fn new(received: RecvStream, sent: SendStream<B>) -> Self {
        Self { received, sent, unread: Bytes::new(), shut: false }
    }
}

impl<B: Buf> AsyncRead for Duplex<B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() {
            match ready!(this.received.poll_data(cx)) {
                Some(Ok(data)) => this.unread = data,
                // Whoever was told the end and lets go of the stream has no more to say.
                Some(Err(error)) if this.shut && lets_go(&error) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let bytes = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.unread[..bytes]);
        this.unread.advance(bytes);
        // Room is given for what has been read: the other side's pace is the reader's. It fails
        // only where the stream has ended, which the next look at it tells.
        let _ = this.received.flow_control().release_capacity(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<B: Buf + From<Bytes>> AsyncWrite for Duplex<B> {
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
                let piece = Bytes::copy_from_slice(&bytes[..room]).into();
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
        self.shut = true;
        let last = Bytes::new().into();
        Poll::Ready(self.sent.send_data(last, true).map_err(io_error))
    }
}

impl<B: Buf> fmt::Debug for Duplex<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Duplex")
    }
}

/// Whether this is how the other side lets go of a stream, rather than how it breaks.
fn lets_go(error: &h2::Error) -> bool {
    error.is_remote() && matches!(error.reason(), Some(Reason::CANCEL | Reason::NO_ERROR))
}

fn io_error(error: h2::Error) -> io::Error {
    error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}
