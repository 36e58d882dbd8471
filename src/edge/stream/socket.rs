//! A client's socket: TCP or Unix.

use std::{
    io::{self, IoSlice, Write},
    net::{Shutdown, SocketAddr, TcpStream as StdTcp},
    os::unix::net::UnixStream as StdUnix,
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

/// A connected socket that no runtime watches, not blocking.
#[derive(Debug)]
pub enum Connected {
    /// Over TCP, and where it comes from.
    Tcp(StdTcp, SocketAddr),
    /// Over a Unix socket.
    Unix(StdUnix),
}

/// A socket as rustls writes to it.
pub(super) struct Outward<'a>(pub(super) &'a Socket);

macro_rules! either {
    ($socket:expr, $either:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($either) => $call,
            Socket::Unix($either) => $call,
        }
    };
}

// === impl Connected ===

impl Connected {
    /// Has the runtime watch it.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(self) -> io::Result<Socket> {
        Ok(match self {
            Connected::Tcp(socket, _) => Socket::Tcp(TcpStream::from_std(socket)?),
            Connected::Unix(socket) => Socket::Unix(UnixStream::from_std(socket)?),
        })
    }
}

// === impl Socket ===

impl Socket {
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_write_ready(cx))
    }

    /// Reads once into the room that `buffer` has; 0 is the client's end.
    pub(super) fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        once(room, |judge| {
            either!(self, socket => {
                socket.try_io(Interest::READABLE, || judge(socket.try_read_buf(buffer)))
            })
        })
    }

    /// Reads once into `bytes`; 0 is the client's end.
    pub(super) fn read_slice(&self, bytes: &mut [u8]) -> io::Result<usize> {
        once(bytes.len(), |judge| {
            either!(self, socket => {
                socket.try_io(Interest::READABLE, || judge(socket.try_read(bytes)))
            })
        })
    }

    /// Writes once; how much of `slices` the socket took.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        once(offered, |judge| {
            either!(self, socket => {
                socket.try_io(Interest::WRITABLE, || {
                    judge(match slices {
                        [one] => socket.try_write(one),
                        several => socket.try_write_vectored(several),
                    })
                })
            })
        })
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

impl Write for Outward<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes one call of the system. When it moved less than it could have, the socket is marked as not
/// ready, so that the next look at it asks nobody; the mark is set in the same turn as the call, so
/// that it hides nothing that came later.
fn once(
    room: usize,
    call: impl FnOnce(&mut dyn FnMut(io::Result<usize>) -> io::Result<usize>) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut partial = None;
    let done = call(&mut |done| match done {
        Ok(moved) if 0 < moved && moved < room => {
            partial = Some(moved);
            Err(io::ErrorKind::WouldBlock.into())
        }
        done => done,
    });
    partial.map_or(done, Ok)
}
