//! The bytes between usher and an endpoint.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use crate::http2::Duplex;

/// A socket that leads to an endpoint.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// None any more: another runtime did not take it over.
    Lost,
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

/// The monolith's side of a tunnel.
#[derive(Debug)]
pub enum Far {
    /// A connection of its own.
    Alone(Stream),
    /// A stream beside others.
    Shared(Box<Duplex<Bytes>>),
}

// === impl Socket ===

impl Socket {
    /// Reads what has come, if anything has.
    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.try_read(bytes),
            Socket::Unix(socket) => socket.try_read(bytes),
            Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Has it watched by the runtime that is current instead of the one that did so.
    fn adopt(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Socket::Lost) {
            Socket::Tcp(socket) => Socket::Tcp(TcpStream::from_std(socket.into_std()?)?),
            Socket::Unix(socket) => Socket::Unix(UnixStream::from_std(socket.into_std()?)?),
            Socket::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        Ok(())
    }
}

// === impl Stream ===

impl Stream {
    /// Has its socket watched by the runtime that is current instead of the one that did so.
    pub(super) fn adopt(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.adopt(),
            Stream::Tls(stream) => stream.get_mut().0.adopt(),
        }
    }
}

/// Reads and writes whichever of two streams there is; neither any more is an error.
macro_rules! either {
    ($type:ident: $one:ident or $other:ident $(or $neither:ident)?) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_read(cx, buffer),
                    $type::$other(stream) => Pin::new(stream).poll_read(cx, buffer),
                    $($type::$neither => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),)?
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
                    $($type::$neither => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),)?
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_flush(cx),
                    $type::$other(stream) => Pin::new(stream).poll_flush(cx),
                    $($type::$neither => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),)?
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $type::$one(stream) => Pin::new(stream).poll_shutdown(cx),
                    $type::$other(stream) => Pin::new(stream).poll_shutdown(cx),
                    $($type::$neither => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),)?
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
                    $($type::$neither => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),)?
                }
            }
        }
    };
}

either!(Socket: Tcp or Unix or Lost);
either!(Stream: Plain or Tls);
either!(Far: Alone or Shared);
