//! A client's connection as bytes, in plain text or in TLS, read and written without being split.
//!
//! A body is read by one task while the connection writes on another, so both sides work on a
//! shared reference. Whoever reads waits for readability alone and whoever writes for writability
//! alone; neither takes the other's waker. A session of TLS lies in a lock of its own, which only
//! this connection's tasks take, all of them on one thread.

mod handshake;
mod session;
mod socket;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use session::Session;

pub(super) use handshake::shake_hands;
pub use socket::{Connected, Socket};

/// One client's connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// Boxed, so that a connection in plain text has no room for it.
    session: Option<Box<Mutex<Session>>>,
    /// What was decrypted beyond what an [`AsyncRead`] had room for. Empty in plain text.
    early: BytesMut,
}

// === impl Stream ===

impl Stream {
    /// Bytes as they come and go.
    pub fn plain(socket: impl Into<Socket>) -> Self {
        Self { socket: socket.into(), session: None, early: BytesMut::new() }
    }

    /// Bytes inside of `tls`, whose handshake is over.
    pub fn encrypted(socket: impl Into<Socket>, tls: ServerConnection) -> Self {
        let session = Some(Box::new(Mutex::new(Session::new(tls))));
        Self { socket: socket.into(), session, early: BytesMut::new() }
    }

    /// Ready when [`read`](Self::read) may find something.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.session {
            Some(session) => session.lock().poll_read_ready(cx, &self.socket),
            None => self.socket.poll_read_ready(cx),
        }
    }

    /// Reads once, into the room that `buffer` has or can make; 0 is the client's end.
    pub fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match &self.session {
            None => self.socket.read(buffer),
            Some(session) => session.lock().read(&self.socket, buffer),
        }
    }

    /// Gives back memory that is of no use while nothing comes.
    pub fn rest(&self) {
        if let Some(session) = &self.session {
            session.lock().rest();
        }
    }

    /// Ready when [`write`](Self::write) or [`flush`](Self::flush) may find room.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Writes once; how much of `slices` need not be offered again. Only while nothing
    /// [waits](Self::is_waiting).
    pub fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.session {
            None => self.socket.write(slices),
            Some(session) => session.lock().write(&self.socket, slices),
        }
    }

    /// Whether something that was written still waits for the socket.
    pub fn is_waiting(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().is_waiting())
    }

    /// Brings what waits to the socket; how much of it the socket took.
    pub fn flush(&self) -> io::Result<usize> {
        self.session.as_ref().map_or(Ok(0), |session| session.lock().flush(&self.socket))
    }

    /// Ready when the client has reset the connection, or it broke.
    pub async fn broken(&self) {
        self.socket.broken().await;
    }

    /// Says that this is an orderly end, where the protocol has a word for it. What the socket does
    /// not take at once is lost with it.
    pub fn say_end(&self) {
        if let Some(session) = &self.session {
            let mut session = session.lock();
            session.say_end();
            let _ = session.flush(&self.socket);
        }
    }

    /// Ends the writing side in order: the client reads an end.
    pub fn finish(&self) -> io::Result<()> {
        self.say_end();
        self.socket.shut_down()
    }

    /// Makes the close that follows a reset.
    pub fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }

    /// Ready when nothing waits any more.
    fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_waiting() {
            match self.flush() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.session.is_none() {
            return Pin::new(&mut this.socket).poll_read(cx, buffer);
        }
        while this.early.is_empty() {
            ready!(this.poll_read_ready(cx))?;
            let mut early = std::mem::take(&mut this.early);
            let read = this.read(&mut early);
            this.early = early;
            match read {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let bytes = this.early.remaining().min(buffer.remaining());
        buffer.put_slice(&this.early[..bytes]);
        this.early.advance(bytes);
        if this.early.is_empty() {
            this.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.session.is_none() {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        }
        ready!(this.poll_drained(cx))?;
        Poll::Ready(this.write(&[IoSlice::new(bytes)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.session.is_none() {
            return Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        }
        ready!(this.poll_drained(cx))?;
        Poll::Ready(this.write(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drained(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &self.session {
            // Said once only, however often this is asked.
            session.lock().say_end();
        }
        ready!(self.poll_drained(cx))?;
        Poll::Ready(self.socket.shut_down())
    }
}
