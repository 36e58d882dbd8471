//! A client's socket: TCP or Unix.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connected socket of a client.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $either:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($either) => $call,
            Socket::Unix($either) => $call,
        }
    };
}

// === impl Socket ===

impl Socket {
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_write_ready(cx))
    }

    /// Reads once. When less came than there was room for, the socket is marked as not ready, so
    /// that the next look at it asks nobody; the mark is set in the same turn as the read, so that
    /// it hides nothing that came later.
    pub(super) fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let mut partial = None;
        let mut judge = |done: io::Result<usize>| match done {
            Ok(read) if 0 < read && read < room => {
                partial = Some(read);
                Err(io::ErrorKind::WouldBlock.into())
            }
            done => done,
        };
        let done = either!(self, socket => {
            socket.try_io(Interest::READABLE, || judge(socket.try_read_buf(buffer)))
        });
        partial.map_or(done, Ok)
    }

    /// Writes once; after less than all of it the socket is marked as not ready.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut partial = None;
        let mut judge = |done: io::Result<usize>| match done {
            Ok(written) if 0 < written && written < offered => {
                partial = Some(written);
                Err(io::ErrorKind::WouldBlock.into())
            }
            done => done,
        };
        let done = either!(self, socket => {
            socket.try_io(Interest::WRITABLE, || judge(match slices {
                [one] => socket.try_write(one),
                several => socket.try_write_vectored(several),
            }))
        });
        partial.map_or(done, Ok)
    }

    pub(super) async fn broken(&self) {
        // An error of the driver is as good a reason to stop as one of the socket.
        let _ = either!(self, socket => socket.ready(Interest::ERROR).await);
    }

    pub(super) fn shut_down(&self) -> io::Result<()> {
        self.options().shutdown(Shutdown::Write)
    }

    pub(super) fn reset_on_close(&self) {
        // Only fails on a socket that is closed already.
        let _ = self.options().set_linger(Some(Duration::ZERO));
    }

    /// Sets what every client's connection has.
    pub fn tune(&self) {
        if let Socket::Tcp(socket) = self {
            // Answers are written whole; waiting to fill a segment would only delay them. An error
            // means that the client has gone already, which the first read will tell.
            let _ = socket.set_nodelay(true);
        }
    }

    fn options(&self) -> SockRef<'_> {
        either!(self, socket => SockRef::from(socket))
    }
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}
