//! A TLS session between the bytes of a socket and those of the codec.
//!
//! Invariants: what has been decrypted never waits in here, but for what came with the handshake's
//! last flight; an end of the socket without a close_notify is an error and no end (RFC 8446
//! §6.1), so that nobody can cut a body short and have it pass for whole.

use std::{
    cell::RefCell,
    io::{self, BufRead, IoSlice, Read, Write},
};

use bytes::BytesMut;
use rustls::ServerConnection;

use super::socket::Socket;

/// How much is read from the socket at once: a whole record of the largest size, nearly.
const READ_BYTES: usize = 16 * 1024;

/// How much encrypted text may wait for the socket.
const WAITING_BYTES_MAX: usize = 128 * 1024;

thread_local! {
    /// Shared by all sessions of a worker: bytes pass through it within one call.
    static PASSAGE: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// One connection's session.
#[derive(Debug)]
pub(super) struct Session {
    tls: ServerConnection,
    /// Whether something may be read before the socket is ready: the end, or what came early.
    ready: bool,
}

/// A socket as rustls writes to it.
struct Outward<'a>(&'a Socket);

/// A socket from which nothing is to be had now.
struct Nothing;

// === impl Session ===

impl Session {
    /// A session whose handshake is over.
    pub(super) fn new(mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(WAITING_BYTES_MAX));
        Self { tls, ready: true }
    }

    /// Whether there may be something to read though the socket is not ready.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Reads once from `socket` and decrypts into `buffer`; 0 is the client's orderly end.
    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut BytesMut) -> io::Result<usize> {
        if self.ready {
            let taken = self.take(buffer)?;
            if taken > 0 || self.ready {
                return Ok(taken);
            }
        }
        PASSAGE.with_borrow_mut(|passage| {
            let read = socket.read_slice(passage)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut rest = &passage[..read];
            let mut taken = 0;
            // rustls takes no more than it has room for, and nothing behind a close_notify.
            while !rest.is_empty() && self.tls.read_tls(&mut rest)? > 0 {
                if let Err(error) = self.tls.process_new_packets() {
                    // The client is told why, if it still listens.
                    let _ = self.flush(socket);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                taken += self.take(buffer)?;
            }
            match taken {
                0 if !self.ready => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            }
        })
    }

    /// Takes what has been decrypted, and notes whether that is all there will be.
    fn take(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut taken = 0;
        let mut reader = self.tls.reader();
        loop {
            let chunk = match reader.fill_buf() {
                Ok([]) => {
                    self.ready = true;
                    return Ok(taken);
                }
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return Ok(taken);
                }
                Err(error) => return Err(error),
            };
            let bytes = chunk.len();
            buffer.extend_from_slice(chunk);
            reader.consume(bytes);
            taken += bytes;
        }
    }

    /// Gives back what large records have taken: rustls keeps the room for them, up to 32 KiB, and
    /// makes it smaller when it begins to read and no part of a record is there. So it is asked to,
    /// from where there is nothing.
    pub(super) fn rest(&mut self) {
        let _nothing = self.tls.read_tls(&mut Nothing);
    }

    /// Whether encrypted text waits for the socket.
    pub(super) fn is_waiting(&self) -> bool {
        self.tls.wants_write()
    }

    /// Encrypts as much of `slices` as there is room for, and writes what the socket takes. Only
    /// while nothing waits; then there is room.
    pub(super) fn write(&mut self, socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.tls.writer().write_vectored(slices)?;
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            // The rest waits, and is flushed before anything else is taken.
            _ => Ok(taken),
        }
    }

    /// Writes what waits; how much of it the socket took.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut written = 0;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outward(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Says that nothing more comes: whoever reads an end without this word was cut off.
    pub(super) fn say_end(&mut self) {
        self.tls.send_close_notify();
    }
}

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
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
