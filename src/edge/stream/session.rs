//! A TLS session between the bytes of a socket and those of the codec.
//!
//! Invariants: what has been decrypted never waits in here, but for what came with the handshake's
//! last flight; session tickets wait for what is written first only while there is something to be
//! answered; an end of the socket without a close_notify is an error and no end (RFC 8446
//! §6.1), so that nobody can cut a body short and have it pass for whole.

use std::{
    cell::RefCell,
    io::{self, BufRead, IoSlice, Read, Write as _},
    pin::pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use rustls::{ProtocolVersion, ServerConnection};

use super::socket::{Outward, Socket};

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
    tickets: Tickets,
}

/// Where session tickets are. They go out with what is written first, if the client asks for
/// something at once: nobody needs them before, and alone they would cost a write here and a
/// wake-up there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tickets {
    /// Held back; all that waits for the socket are they.
    Held,
    /// Held back, and there was nothing to be read; when it is so after one turn of the worker as
    /// well, they go alone.
    Waiting,
    /// Held back until what the client has said is answered.
    Due,
    /// Where all else is that is written.
    Sent,
}

/// A socket from which nothing is to be had now.
struct Nothing;

// === impl Session ===

impl Session {
    /// A session whose handshake is over.
    pub(super) fn new(mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(WAITING_BYTES_MAX));
        let held = tls.wants_write() && only_tickets_wait(&tls);
        let tickets = if held { Tickets::Held } else { Tickets::Sent };
        Self { tls, ready: true, tickets }
    }

    /// Ready when there may be something to read. What was held back goes out when there is not.
    pub(super) fn poll_read_ready(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
    ) -> Poll<io::Result<()>> {
        if self.ready {
            return Poll::Ready(Ok(()));
        }
        let polled = socket.poll_read_ready(cx);
        if polled.is_pending() {
            self.wait_or_send(cx, socket);
        }
        polled
    }

    /// Reads once from `socket` and decrypts into `buffer`; 0 is the client's orderly end.
    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut BytesMut) -> io::Result<usize> {
        if self.ready {
            let taken = take(&mut self.tls, buffer, &mut self.ready)?;
            if taken > 0 || self.ready {
                self.hold();
                return Ok(taken);
            }
        }
        let mut taken = 0;
        let ready = &mut self.ready;
        let received = receive(&mut self.tls, socket, |tls| {
            taken += take(tls, buffer, ready)?;
            Ok(())
        });
        match received {
            Ok(()) if taken == 0 && !self.ready => Err(io::ErrorKind::WouldBlock.into()),
            Ok(()) => {
                self.hold();
                Ok(taken)
            }
            Err(error) => Err(error),
        }
    }

    /// The client has said something: the answer will take along what is held back.
    fn hold(&mut self) {
        if self.tickets != Tickets::Sent {
            self.tickets = Tickets::Due;
        }
    }

    /// There is nothing to be read: what no answer will take along waits for one turn, then goes.
    fn wait_or_send(&mut self, cx: &mut Context<'_>, socket: &Socket) {
        match self.tickets {
            Tickets::Held => {
                self.tickets = Tickets::Waiting;
                // Woken after the worker has looked at its sockets once more.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
            }
            Tickets::Waiting => {
                // What the socket does not take waits like all else; what broke, a read tells.
                let _ = self.flush(socket);
            }
            Tickets::Due | Tickets::Sent => {}
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
        self.tls.wants_write() && self.tickets == Tickets::Sent
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
        self.tickets = Tickets::Sent;
        flush(&mut self.tls, socket)
    }

    /// Says that nothing more comes: whoever reads an end without this word was cut off.
    pub(super) fn say_end(&mut self) {
        self.tickets = Tickets::Sent;
        self.tls.send_close_notify();
    }
}

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Whether all that waits behind a handshake is what TLS 1.3 says behind it.
pub(super) fn only_tickets_wait(tls: &ServerConnection) -> bool {
    tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// Reads once from `socket`, and has rustls make of it what it can; `each` looks at what that is.
pub(super) fn receive(
    tls: &mut ServerConnection,
    socket: &Socket,
    mut each: impl FnMut(&mut ServerConnection) -> io::Result<()>,
) -> io::Result<()> {
    PASSAGE.with_borrow_mut(|passage| {
        let read = socket.read_slice(passage)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = &passage[..read];
        // rustls takes no more than it has room for, and nothing behind a close_notify.
        while !rest.is_empty() && tls.read_tls(&mut rest)? > 0 {
            if let Err(error) = tls.process_new_packets() {
                // The client is told why, if it still listens.
                let _ = flush(tls, socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            each(tls)?;
        }
        Ok(())
    })
}

/// Takes what has been decrypted, and notes whether that is all there will be.
fn take(tls: &mut ServerConnection, buffer: &mut BytesMut, ends: &mut bool) -> io::Result<usize> {
    let mut taken = 0;
    let mut reader = tls.reader();
    loop {
        let chunk = match reader.fill_buf() {
            Ok([]) => {
                *ends = true;
                return Ok(taken);
            }
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                *ends = false;
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

/// Writes what waits; how much of it the socket took.
pub(super) fn flush(tls: &mut ServerConnection, socket: &Socket) -> io::Result<usize> {
    let mut written = 0;
    while tls.wants_write() {
        match tls.write_tls(&mut Outward(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
