//! A client's connection as bytes, read and written without being split.
//!
//! A body is read by one task while the connection writes on another, so both sides work on a
//! shared reference. Whoever reads waits for readability alone and whoever writes for writability
//! alone; neither takes the other's waker.

mod socket;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use socket::Socket;

/// One client's connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

// === impl Stream ===

impl Stream {
    /// Bytes as they come and go.
    pub fn plain(socket: impl Into<Socket>) -> Self {
        Self { socket: socket.into() }
    }

    /// Ready when [`read`](Self::read) may find something.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Reads once, into the room that `buffer` has; 0 is the client's end.
    pub fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.socket.read(buffer)
    }

    /// Ready when [`write`](Self::write) may find room.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Writes once; how much of `slices` need not be offered again.
    pub fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write(slices)
    }

    /// Ready when the client has reset the connection, or it broke.
    pub async fn broken(&self) {
        self.socket.broken().await;
    }

    /// Ends the writing side: the client reads an end.
    pub fn finish(&self) -> io::Result<()> {
        self.socket.shut_down()
    }

    /// Makes the close that follows a reset.
    pub fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
