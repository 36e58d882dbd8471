//! An answer as it is written: its head, and a body that ends where the head says.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, response::Parts};
use http_body::Frame;

use crate::{
    fault::Fault,
    http1::{
        lines::Lines,
        names::Known,
        text::{append_field, append_size},
    },
    peer::Protocol,
};

use crate::edge::{date, strict::trailers};

use super::writer::Writer;

/// What of the request decides how its answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// HEAD gets no body.
    pub(super) head_only: bool,
    /// HTTP/1.0 knows neither chunks nor 1xx.
    pub(super) protocol: Protocol,
}

/// How the body of an answer is delimited, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// There is none, whatever the service gives.
    Bodiless,
    /// So many bytes are still owed.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

// === impl Asked ===

impl Asked {
    /// By a request with `method`, if it got so far.
    pub(super) fn new(method: Option<&Method>, protocol: Protocol) -> Self {
        Self { head_only: method == Some(&Method::HEAD), protocol }
    }
}

// === impl Shape ===

impl Shape {
    /// How an answer with this head goes to who asked so.
    pub(super) fn of(parts: &Parts, length: Option<u64>, asked: Asked) -> Self {
        let empty = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if asked.head_only || empty {
            return Shape::Bodiless;
        }
        match (length, asked.protocol) {
            (Some(length), _) => Shape::Length(length),
            (None, Protocol::Http11 | Protocol::Http2) => Shape::Chunked,
            (None, Protocol::Http10) => Shape::UntilClose,
        }
    }

    /// Appends a frame of the body. It fails when there is more of it than was promised; what was
    /// promised is appended even then.
    pub(super) fn push(
        &mut self,
        frame: Frame<Bytes>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Fault> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => self.push_data(data, writer),
            Err(frame) => {
                if let (Shape::Chunked, Ok(fields)) = (*self, frame.into_trailers()) {
                    writer.text.extend_from_slice(b"0\r\n");
                    for (name, value) in &fields {
                        if trailers::passes(name) {
                            append_field(&mut writer.text, name, value.as_bytes());
                        }
                    }
                    writer.text.extend_from_slice(b"\r\n");
                    *self = Shape::Bodiless;
                }
                Ok(())
            }
        }
    }

    fn push_data(&mut self, mut data: Bytes, writer: &mut Writer<'_>) -> Result<(), Fault> {
        match self {
            Shape::Bodiless => {}
            Shape::UntilClose => writer.push(data),
            Shape::Length(left) => {
                let over = data.len() as u64 > *left;
                if over {
                    data.truncate(*left as usize);
                }
                *left -= data.len() as u64;
                writer.push(data);
                if over {
                    return Err(Fault::UpstreamMalformed);
                }
            }
            Shape::Chunked => {
                append_size(&mut writer.text, data.len());
                writer.push(data);
                writer.text.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    /// The service has nothing more. It fails when less came than was promised.
    pub(super) fn finish(self, writer: &mut Writer<'_>) -> Result<(), Fault> {
        match self {
            Shape::Bodiless | Shape::UntilClose | Shape::Length(0) => Ok(()),
            Shape::Length(_) => Err(Fault::UpstreamBroke),
            Shape::Chunked => {
                writer.text.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}

/// Whether the service wants the connection closed behind its answer.
pub(super) fn closes(parts: &Parts) -> bool {
    let fields = &parts.headers;
    !fields.is_empty() && fields.get(header::CONNECTION).is_some_and(|value| value == "close")
}

/// Appends the head of a final answer.
pub(super) fn append_head(
    text: &mut BytesMut,
    parts: &Parts,
    (lines, length): (&Lines, Option<u64>),
    (shape, protocol, persists): (Shape, Protocol, bool),
) {
    append_status(text, parts.status);
    let length_stays = parts.status != StatusCode::NO_CONTENT && length.is_some();
    append_fields(text, &parts.headers, length_stays);
    lines.append_to(text, (!length_stays).then_some(Known::ContentLength));
    if shape == Shape::Chunked {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    let dated = lines.has(Known::Date)
        || !parts.headers.is_empty() && parts.headers.contains_key(header::DATE);
    if !dated {
        text.extend_from_slice(b"date: ");
        date::append(text);
        text.extend_from_slice(b"\r\n");
    }
    match (persists, protocol) {
        (true, Protocol::Http11 | Protocol::Http2) => {}
        (true, Protocol::Http10) => text.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, _) => text.extend_from_slice(b"connection: close\r\n"),
    }
    if parts.status == StatusCode::UPGRADE_REQUIRED {
        append_upgrade(text, &parts.headers);
    }
    text.extend_from_slice(b"\r\n");
}

/// Appends a 1xx answer.
pub(super) fn append_informational(text: &mut BytesMut, status: StatusCode, fields: &HeaderMap) {
    append_status(text, status);
    append_fields(text, fields, false);
    text.extend_from_slice(b"\r\n");
}

/// Appends the head of a 101, whose `Upgrade` is the service's and whose `Connection` says so.
pub(super) fn append_switch(text: &mut BytesMut, parts: &Parts) {
    append_status(text, parts.status);
    append_fields(text, &parts.headers, false);
    append_upgrade(text, &parts.headers);
    text.extend_from_slice(b"\r\n");
}

/// Appends what the service switches to, or would switch to (RFC 9110 §15.5.22).
fn append_upgrade(text: &mut BytesMut, fields: &HeaderMap) {
    for value in fields.get_all(header::UPGRADE) {
        text.extend_from_slice(b"connection: upgrade\r\n");
        append_field(text, &header::UPGRADE, value.as_bytes());
    }
}

fn append_status(text: &mut BytesMut, status: StatusCode) {
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(status.as_str().as_bytes());
    text.extend_from_slice(b" ");
    text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    text.extend_from_slice(b"\r\n");
}

/// Appends all fields but those that speak about the connection, which is the door's own.
fn append_fields(text: &mut BytesMut, fields: &HeaderMap, length_stays: bool) {
    for (name, value) in fields {
        let ours = *name == header::CONNECTION
            || *name == header::TRANSFER_ENCODING
            || *name == header::UPGRADE
            || (*name == header::CONTENT_LENGTH && !length_stays)
            || *name == "keep-alive";
        if !ours {
            append_field(text, name, value.as_bytes());
        }
    }
}

/// The one length that the service gave; several or a wrong one are none.
pub(super) fn length(fields: &HeaderMap, lines: &Lines) -> Option<u64> {
    let mut values = lines.all(Known::ContentLength);
    let text = match (values.next(), values.next()) {
        (Some(text), None) if fields.is_empty() => text,
        (first, second) => {
            let kept = fields.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
            let mut all = first.into_iter().chain(second).chain(kept);
            all.next().filter(|_| all.next().is_none())?
        }
    };
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}
