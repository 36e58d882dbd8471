//! A request's head: bytes in, request or refusal out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use std::mem::MaybeUninit;

use crate::{
    edge::strict::{METHOD_BYTES_MAX, target},
    fault::Fault,
    peer::Protocol,
    proxy::{DroppedNames, Form, Refusal},
};

use super::{
    Rules,
    fields::{Framing, Notes},
    scan::{Progress, Scan},
};

/// Heads with at most so many fields are read without an allocation for their list.
const FIELDS_ON_STACK: usize = 100;

/// Gathers one head out of what arrives.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    scan: Scan,
    skipped_line: bool,
}

/// One head that has been read.
#[derive(Debug)]
pub(super) struct Head {
    /// The request without its body.
    pub(super) request: Request<()>,
    /// What the client spoke.
    pub(super) protocol: Protocol,
    /// Where the body ends.
    pub(super) framing: Framing,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
    /// Whether the client wants to go on as a WebSocket.
    pub(super) upgrade: bool,
    /// Whether the client lets the connection go on.
    pub(super) persists: bool,
    /// Whether the target was an `https` one, in absolute form.
    pub(super) https: bool,
}

/// A head, or why there is none.
pub(super) type Verdict = Result<Box<Head>, Box<Refusal>>;

// === impl Head ===

impl Head {
    /// The refusal of a head that was read whole.
    pub(super) fn refused(&self, fault: Fault) -> Refusal {
        let host = self.request.headers().get(header::HOST);
        Refusal {
            fault,
            method: Some(self.request.method().clone()),
            host: host.and_then(|host| readable(host.as_bytes())),
            path: readable(self.request.uri().path().as_bytes()),
            form: Form::wanted(self.request.headers()),
        }
    }
}

// === impl Assembler ===

impl Assembler {
    /// Takes a whole head off the front of `buffer`, or refuses it; `None` when more must come.
    pub(super) fn step(&mut self, buffer: &mut BytesMut, rules: &Rules) -> Option<Verdict> {
        // RFC 9112 §2.2: one empty line ahead of a request is forgiven.
        if !self.skipped_line && buffer.first() == Some(&b'\r') {
            match buffer.get(1) {
                None => return None,
                Some(b'\n') => {
                    self.skipped_line = true;
                    buffer.advance(2);
                }
                Some(_) => {}
            }
        }
        if buffer.is_empty() {
            return None;
        }
        self.skipped_line = true;
        match self.scan.look(buffer, rules) {
            Progress::More => None,
            Progress::Refused(fault, at) => Some(Err(Box::new(refuse(fault, &buffer[..at])))),
            Progress::Whole(end) => {
                // Copied, so that the buffer goes back at once and a request that waits long holds
                // no more than its own head.
                let bytes = Bytes::copy_from_slice(&buffer[..end]);
                buffer.advance(end);
                Some(parse(&bytes, rules).map_err(|fault| Box::new(refuse(fault, &bytes))))
            }
        }
    }

    /// The head did not arrive in time.
    pub(super) fn late(&self, buffer: &[u8]) -> Refusal {
        refuse(Fault::HeadTimeout, buffer)
    }
}

fn parse(bytes: &Bytes, rules: &Rules) -> Result<Box<Head>, Fault> {
    if rules.headers <= FIELDS_ON_STACK {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        return parse_into(bytes, &mut room[..rules.headers], rules);
    }
    let mut room = Vec::new();
    room.resize_with(rules.headers, MaybeUninit::uninit);
    parse_into(bytes, &mut room, rules)
}

fn parse_into<'b>(
    bytes: &'b Bytes,
    room: &mut [MaybeUninit<httparse::Header<'b>>],
    rules: &Rules,
) -> Result<Box<Head>, Fault> {
    let mut raw = httparse::Request::new(&mut []);
    match raw.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Fault::MalformedHead),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Fault::BadVersion),
        Err(_) => return Err(request_line_fault(bytes)),
    }
    let (Some(method), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
        return Err(Fault::MalformedHead);
    };
    let protocol = if version == 1 { Protocol::Http11 } else { Protocol::Http10 };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::MalformedHead)?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Fault::MethodNotAllowed);
    }
    let mut fields = HeaderMap::with_capacity(raw.headers.len() + 8);
    let mut notes = Notes::default();
    let dropped = take_fields(bytes, raw.headers, &mut fields, &mut notes, rules)?;
    notes.connection()?;
    let host = notes.host()?;
    let uri = target::read(&method, &bytes.slice_ref(target.as_bytes()), host)?;
    let framing = notes.framing(protocol, &mut fields, rules)?;
    let expects = notes.expects(protocol)? && framing != Framing::None;
    let upgrade = notes.upgrade(&method, protocol, framing, &mut fields)?;
    let request = assemble(method, uri, protocol, fields, dropped);
    let persists = notes.persists(protocol);
    let https = target.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    Ok(Box::new(Head { request, protocol, framing, expects, upgrade, persists, https }))
}

/// Takes the fields over; the answer is how many were left behind because of a `_` in their name.
fn take_fields(
    bytes: &Bytes,
    raw: &[httparse::Header<'_>],
    fields: &mut HeaderMap,
    notes: &mut Notes,
    rules: &Rules,
) -> Result<usize, Fault> {
    let mut dropped = 0;
    for field in raw {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::MalformedHead)?;
        // Rack folds `_` onto `-`: such a name could pass for one that usher sets or removes.
        if field.name.contains('_') && !rules.underscores.contains(&name) {
            dropped += 1;
            continue;
        }
        let value = bytes.slice_ref(field.value);
        if notes.see(&name, &value) {
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::MalformedHead)?;
            fields.try_append(name, value).map_err(|_| Fault::HeadTooLarge)?;
        }
    }
    Ok(dropped)
}

fn assemble(
    method: Method,
    uri: Uri,
    protocol: Protocol,
    fields: HeaderMap,
    dropped: usize,
) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = match protocol {
        Protocol::Http11 | Protocol::Http2 => http::Version::HTTP_11,
        Protocol::Http10 => http::Version::HTTP_10,
    };
    *request.headers_mut() = fields;
    if dropped > 0 {
        request.extensions_mut().insert(DroppedNames(dropped));
    }
    request
}

/// What is wrong with a head that is well cut and still does not parse.
fn request_line_fault(bytes: &[u8]) -> Fault {
    let mut parts = bytes.splitn(3, |&b| b == b' ').skip(1);
    match parts.next() {
        Some(target) if !target.iter().all(|b| (0x21..=0x7e).contains(b)) => Fault::BadTarget,
        _ => Fault::MalformedHead,
    }
}

/// A refusal, with what can be known from the bytes up to where they went wrong.
fn refuse(fault: Fault, bytes: &[u8]) -> Refusal {
    let form = Form::of_lines(bytes);
    let mut lines = bytes.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
    let mut parts = lines.next().unwrap_or_default().splitn(3, |&b| b == b' ');
    let method = parts
        .next()
        .filter(|method| method.len() <= METHOD_BYTES_MAX)
        .and_then(|method| Method::from_bytes(method).ok());
    let target = parts.next().filter(|target| target.starts_with(b"/"));
    let path = target.and_then(|target| target.split(|&b| b == b'?').next());
    let host = lines
        .filter_map(|line| line.split_at_checked(5))
        .find(|(name, _)| name.eq_ignore_ascii_case(b"host:"))
        .map(|(_, value)| value.trim_ascii());
    let (host, path) = (host.and_then(readable), path.and_then(readable));
    Refusal { fault, method, host, path, form }
}

fn readable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.bytes().all(|b| b.is_ascii_graphic()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_empty_line_is_forgiven_however_the_bytes_arrive() {
        let cuts: [&[&str]; 3] =
            [&["\r\n\r\nGET "], &["\r\n", "\r\nGET "], &["\r", "\n\r", "\nGET "]];
        for pieces in cuts {
            let (mut assembler, mut buffer) = (Assembler::default(), BytesMut::new());
            let mut verdict = None;
            for piece in pieces {
                buffer.extend_from_slice(piece.as_bytes());
                verdict = verdict.or_else(|| assembler.step(&mut buffer, &Rules::default()));
            }
            let refusal = verdict.expect("a verdict").expect_err("a refusal");
            assert_eq!(refusal.fault, Fault::MalformedHead, "{pieces:?}");
        }
    }
}
