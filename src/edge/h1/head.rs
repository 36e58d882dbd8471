//! A request's head: bytes in, request or refusal out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::{
    edge::strict::{METHOD_BYTES_MAX, target},
    fault::Fault,
    http1::{
        cut::{Cut, Cuts},
        lines::Lines,
        names::Known,
    },
    peer::Protocol,
    proxy::{DroppedNames, Form, Refusal},
};

use super::{
    Rules,
    fields::{Framing, Notes},
    scan::{Progress, Scan},
};

/// How many fields a list has room for at first.
const FIELDS_USUAL: usize = 24;

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
    /// Its fields that go on as they came.
    pub(super) lines: Lines,
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
        Refusal {
            fault,
            method: Some(self.request.method().clone()),
            host: self.lines.get(Known::Host).and_then(readable),
            path: readable(self.request.uri().path().as_bytes()),
            form: Form::wanted(self.request.headers(), &self.lines),
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

/// Reads a head of which it is known that it is whole, and that its request line has three parts.
fn parse(bytes: &Bytes, rules: &Rules) -> Result<Box<Head>, Fault> {
    let line_end = memchr::memchr(b'\n', bytes).ok_or(Fault::MalformedHead)?;
    let line = bytes[..line_end].strip_suffix(b"\r").ok_or(Fault::MalformedHead)?;
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::MalformedHead);
    };
    let protocol = match version {
        b"HTTP/1.1" => Protocol::Http11,
        b"HTTP/1.0" => Protocol::Http10,
        _ => return Err(Fault::BadVersion),
    };
    if !is_graphic(target) {
        return Err(Fault::BadTarget);
    }
    let mut fields = Fields::of(bytes, rules);
    fields.read(line_end + 1)?;
    let method = Method::from_bytes(method).map_err(|_| Fault::MalformedHead)?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Fault::MethodNotAllowed);
    }
    let Fields { mut map, mut lines, notes, dropped, .. } = fields;
    notes.connection()?;
    let host = notes.host()?;
    let uri = target::read(&method, &bytes.slice_ref(target), host)?;
    let framing = notes.framing(protocol, (&mut map, &mut lines), rules)?;
    let expects = notes.expects(protocol)? && framing != Framing::None;
    let upgrade = notes.upgrade(&method, protocol, framing, &mut map)?;
    let request = assemble(method, uri, protocol, map, dropped);
    let persists = notes.persists(protocol);
    let https = target.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https:"));
    Ok(Box::new(Head { request, lines, protocol, framing, expects, upgrade, persists, https }))
}

/// The fields of a head while they are read.
struct Fields<'b> {
    bytes: &'b Bytes,
    rules: &'b Rules,
    map: HeaderMap,
    lines: Lines,
    notes: Notes<'b>,
    /// How many were left behind because of a `_` in their name.
    dropped: usize,
}

// === impl Fields ===

impl<'b> Fields<'b> {
    fn of(bytes: &'b Bytes, rules: &'b Rules) -> Self {
        let lines = Lines::of(bytes, FIELDS_USUAL.min(rules.headers));
        Self { bytes, rules, map: HeaderMap::new(), lines, notes: Notes::default(), dropped: 0 }
    }

    /// Reads those from `at` on, which are the rest of the head.
    fn read(&mut self, at: usize) -> Result<(), Fault> {
        for (count, cut) in Cuts::of(self.bytes, at).enumerate() {
            if count == self.rules.headers {
                return Err(Fault::HeadTooLarge);
            }
            self.take(&cut.map_err(|_| Fault::MalformedHead)?)?;
        }
        Ok(())
    }

    fn take(&mut self, cut: &Cut<'b>) -> Result<(), Fault> {
        let known = Known::of_request(cut.name);
        // Rack folds `_` onto `-`: such a name could pass for one that usher sets or removes.
        if cut.underscored {
            return self.take_underscored(cut);
        }
        if !self.notes.see(known, cut.value) {
            return Ok(());
        }
        if known.passes() {
            let placed = self.lines.push(cut, known);
            return if placed { Ok(()) } else { Err(Fault::HeadTooLarge) };
        }
        self.keep(cut)
    }

    fn take_underscored(&mut self, cut: &Cut<'b>) -> Result<(), Fault> {
        let name = HeaderName::from_bytes(cut.name).map_err(|_| Fault::MalformedHead)?;
        if self.rules.underscores.contains(&name) {
            return self.keep(cut);
        }
        self.dropped += 1;
        Ok(())
    }

    fn keep(&mut self, cut: &Cut<'b>) -> Result<(), Fault> {
        let name = HeaderName::from_bytes(cut.name).map_err(|_| Fault::MalformedHead)?;
        let value = HeaderValue::from_maybe_shared(self.bytes.slice_ref(cut.value));
        let value = value.map_err(|_| Fault::MalformedHead)?;
        let kept = self.map.try_append(name, value);
        kept.map(|_| ()).map_err(|_| Fault::HeadTooLarge)
    }
}

/// Whether all of `target` may stand in one; which of it may stand where is judged later.
fn is_graphic(target: &[u8]) -> bool {
    target.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
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
