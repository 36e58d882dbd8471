//! A request on its way to an endpoint: its head, and a body as its head announces it.
//!
//! The head and what is there of the body leave together. More of a body is asked for only when
//! what came before it has gone, so that an endpoint which takes nothing is felt where the body
//! comes from.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header, request::Parts, uri::PathAndQuery};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use crate::{
    body::Body,
    fault::Fault,
    http1::{
        lines::Lines,
        names::Known,
        text::{append_field, append_size},
    },
    upstream::wire::Stream,
};

/// Pieces up to this size are copied behind what waits; a larger one is written where it lies.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// With so much text waiting, no more of the body is asked for.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What is to go out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Goes first, from `written` on. Its memory stays for the next request.
    text: BytesMut,
    written: usize,
    /// Goes behind it.
    piece: Bytes,
    /// Whether a line end is due behind the piece.
    line_end_due: bool,
    body: Option<Body>,
    framing: Framing,
    progress: Progress,
    /// Whether anything of it has gone out.
    sent: bool,
    /// Whether its body has been asked for anything.
    touched: bool,
    flush_due: bool,
    /// Why the endpoint takes no more.
    error: Option<io::Error>,
}

/// How far the request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// There is none, or all of it has gone.
    #[default]
    Over,
    /// It goes.
    Going,
    /// The endpoint takes no more.
    Refused,
    /// The body broke off.
    Broken(Fault),
}

/// How the body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still owed.
    Length(u64),
    #[default]
    Chunked,
}

/// Why it does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The endpoint takes no more.
    Refused,
    /// The body broke off.
    Body(Fault),
}

// === impl Outgoing ===

impl Outgoing {
    /// Lays a request in, whose head says how its body ends.
    pub(super) fn begin(&mut self, head: &Parts, lines: &Lines, body: Body) {
        self.rest();
        append_head(&mut self.text, head, lines);
        if !body.is_end_stream() {
            self.framing = framing(&head.headers, lines);
            self.body = Some(body);
        }
        self.progress = Progress::Going;
    }

    /// Whether all of it has gone.
    pub(super) fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    /// Whether anything of it has gone out.
    pub(super) fn has_sent(&self) -> bool {
        self.sent
    }

    /// The body, where nobody has asked it for anything.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.body.take().filter(|_| !self.touched)
    }

    /// Why the endpoint took no more.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Forgets the request, and keeps the memory for the next one.
    pub(super) fn rest(&mut self) {
        (self.body, self.piece, self.error) = (None, Bytes::new(), None);
        (self.written, self.line_end_due, self.flush_due) = (0, false, false);
        (self.sent, self.touched) = (false, false);
        if self.text.capacity() > TEXT_BYTES_MAX {
            self.text = BytesMut::new();
        }
        self.text.clear();
        self.progress = Progress::Over;
    }

    /// Sends what it can. Ready once all has gone, or it cannot go on; asking again is harmless.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<Result<(), Halt>> {
        match self.progress {
            Progress::Over => return Poll::Ready(Ok(())),
            Progress::Refused => return Poll::Ready(Err(Halt::Refused)),
            Progress::Broken(fault) => return Poll::Ready(Err(Halt::Body(fault))),
            Progress::Going => {}
        }
        loop {
            if let Err(fault) = self.fill(cx) {
                (self.progress, self.body) = (Progress::Broken(fault), None);
                return Poll::Ready(Err(Halt::Body(fault)));
            }
            let wrote = match self.is_waiting() {
                true => ready!(self.poll_write(cx, stream)),
                false if self.flush_due => {
                    let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
                    self.flush_due = flushed.is_err();
                    flushed
                }
                false if self.body.is_some() => return Poll::Pending,
                false => {
                    self.progress = Progress::Over;
                    return Poll::Ready(Ok(()));
                }
            };
            if let Err(error) = wrote {
                (self.error, self.progress) = (Some(error), Progress::Refused);
                self.body = self.take_body();
                return Poll::Ready(Err(Halt::Refused));
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.written < self.text.len() || !self.piece.is_empty()
    }

    /// Takes of the body what is there, as long as there is room for it.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        while self.piece.is_empty() && self.text.len() - self.written < TEXT_BYTES_MAX {
            let Some(body) = &mut self.body else { return Ok(()) };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { return Ok(()) };
            self.touched = true;
            match frame {
                None => self.end(None)?,
                Some(frame) => self.push(frame?)?,
            }
            if self.body.as_ref().is_some_and(|body| body.is_end_stream()) {
                self.end(None)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, frame: Frame<Bytes>) -> Result<(), Fault> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.end(frame.into_trailers().ok().as_ref()),
        };
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Chunked => append_size(self.text(), data.len()),
            Framing::Length(left) => {
                let owed = left.checked_sub(data.len() as u64);
                // More than was announced would be read as another request.
                *left = owed.ok_or(Fault::BadFraming)?;
            }
        }
        let line_end: &[u8] = if self.framing == Framing::Chunked { b"\r\n" } else { b"" };
        if data.len() <= COPIED_BYTES_MAX {
            self.text().extend_from_slice(&data);
            self.text.extend_from_slice(line_end);
        } else {
            self.piece = data;
            self.line_end_due = !line_end.is_empty();
        }
        Ok(())
    }

    /// The body has ended, with these fields behind it.
    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Fault> {
        self.body = None;
        match self.framing {
            Framing::Length(0) => Ok(()),
            // Less than was announced.
            Framing::Length(_) => Err(Fault::BadFraming),
            Framing::Chunked => {
                let text = self.text();
                text.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    append_field(text, name, value.as_bytes());
                }
                text.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Room for text behind what waits; only while no piece does.
    fn text(&mut self) -> &mut BytesMut {
        if self.written == self.text.len() {
            self.written = 0;
            self.text.clear();
        }
        &mut self.text
    }

    /// Writes once.
    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        let stream = Pin::new(stream);
        let text = &self.text[self.written..];
        let written = ready!(match (text.is_empty(), self.piece.is_empty()) {
            (false, true) => stream.poll_write(cx, text),
            (true, _) => stream.poll_write(cx, &self.piece),
            (false, false) => {
                let slices = [IoSlice::new(text), IoSlice::new(&self.piece)];
                stream.poll_write_vectored(cx, &slices)
            }
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        (self.sent, self.flush_due) = (true, true);
        let of_text = written.min(text.len());
        self.written += of_text;
        self.piece.advance(written - of_text);
        if self.piece.is_empty() && std::mem::take(&mut self.line_end_due) {
            self.piece = Bytes::new();
            self.text().extend_from_slice(b"\r\n");
        }
        Poll::Ready(Ok(()))
    }
}

fn framing(fields: &HeaderMap, lines: &Lines) -> Framing {
    let kept = || fields.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    let length = lines.get(Known::ContentLength).or_else(kept);
    match length.and_then(super::length) {
        Some(length) if !fields.contains_key(header::TRANSFER_ENCODING) => Framing::Length(length),
        Some(_) | None => Framing::Chunked,
    }
}

fn append_head(text: &mut BytesMut, head: &Parts, lines: &Lines) {
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.extend_from_slice(b" ");
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    text.extend_from_slice(target.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.headers {
        append_field(text, name, value.as_bytes());
    }
    lines.append_to(text, None);
    text.extend_from_slice(b"\r\n");
}
