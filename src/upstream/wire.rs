//! The bytes between usher and an endpoint, counted and watched beneath hyper.
//!
//! hyper does not tell whether a connection died before or after the first byte of an answer, and
//! whether a request may be sent again hangs on exactly that. Nor does it tell what it has read
//! over in a head: see [`Heads`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use super::heads::{Asked, Heads};

/// A socket that leads to an endpoint.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A stream to an endpoint.
#[derive(Debug)]
pub enum Stream {
    /// In plain text.
    Plain(Socket),
    /// Within TLS: an end without a close_notify is an error, so that nobody can cut an answer
    /// short and have it pass for whole (RFC 8446 §6.1).
    Tls(Box<TlsStream<Socket>>),
}

/// A stream that counts, and ends where a head is flawed.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    tally: Arc<Tally>,
    heads: Heads,
}

/// What a connection's driver and whoever sends on it tell each other. They may be on two threads;
/// what is read follows what was sent through hyper's channels.
#[derive(Debug, Default)]
pub struct Tally {
    read: AtomicU64,
    /// What has been asked for since the last read: nothing, all of an answer, or its head.
    dispatched: AtomicU8,
}

/// Reads and writes whichever of two streams there is.
macro_rules! either {
    ($type:ident: $one:ident or $other:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_read(cx, buffer),
                    $type::$other(stream) => Pin::new(stream).poll_read(cx, buffer),
                }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_write(cx, bytes),
                    $type::$other(stream) => Pin::new(stream).poll_write(cx, bytes),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_flush(cx),
                    $type::$other(stream) => Pin::new(stream).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_shutdown(cx),
                    $type::$other(stream) => Pin::new(stream).poll_shutdown(cx),
                }
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
                    $type::$other(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
                }
            }
        }
    };
}

either!(Socket: Tcp or Unix);
either!(Stream: Plain or Tls);

// === impl Wire ===

impl Wire {
    /// Counts what `stream` reads, and gives the count away.
    pub fn new(stream: Stream) -> (Self, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        (Self { stream, tally: tally.clone(), heads: Heads::default() }, tally)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, tally, heads } = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(cx, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            let seen = tally.read.load(Ordering::Relaxed);
            tally.read.store(seen + read.len() as u64, Ordering::Relaxed);
            if let Some(asked) = tally.take() {
                heads.expect(asked);
            }
            heads.see(read)?;
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }
}

// === impl Tally ===

impl Tally {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A request is about to be sent: what is read next is the head of its answer.
    pub fn dispatched(&self, asked: Asked) {
        self.dispatched.store(1 + asked as u8, Ordering::Relaxed);
    }

    /// What has been asked for since this was called last.
    fn take(&self) -> Option<Asked> {
        let asked = match self.dispatched.load(Ordering::Relaxed) {
            0 => return None,
            1 => Asked::All,
            _ => Asked::HeadOnly,
        };
        self.dispatched.store(0, Ordering::Relaxed);
        Some(asked)
    }
}
