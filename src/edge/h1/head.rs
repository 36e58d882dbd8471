//! A request's head: bytes in, request or refusal out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts};

use crate::{
    edge::strict::{METHOD_BYTES_MAX, target},
    fault::Fault,
    http1::{
        lines::{Lines, Uncut},
        names::Known,
    },
    peer::Protocol,
    proxy::{DroppedNames, Form, Incoming, Refusal},
};

use super::{
    Rules,
    fields::{Framing, Notes},
    scan::{Progress, Scan, is_token},
};

/// Gathers one head out of what arrives.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    scan: Scan,
    skipped_line: bool,
}

/// One head that has been read.
#[derive(Debug)]
pub(super) struct Head {
    /// The request; its body is for the door to add.
    pub(super) request: Box<Incoming>,
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

/// A whole head, cut into pieces: places in its bytes.
struct Pieces {
    method_end: usize,
    target_end: usize,
    protocol: Protocol,
    lines: Lines,
    end: usize,
}

/// A head, or why there is none.
pub(super) type Verdict = Result<Head, Box<Refusal>>;

// === impl Head ===

impl Head {
    /// The refusal of a head that was read whole.
    pub(super) fn refused(&self, fault: Fault) -> Refusal {
        let Incoming { head, lines, .. } = &*self.request;
        Refusal {
            fault,
            method: Some(head.method.clone()),
            host: lines.get(Known::Host).and_then(readable),
            path: readable(head.uri.path().as_bytes()),
            form: Form::wanted(&head.headers, lines),
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
        let within = &buffer[..buffer.len().min(rules.head_bytes)];
        // Mostly it has come whole, and is good. If not, the scan says why.
        let first = self.scan.is_fresh().then(|| Pieces::of(within, rules).ok()).flatten();
        let (end, pieces) = match first {
            Some(pieces) => (pieces.end, Ok(pieces)),
            None => match self.scan.look(buffer, rules) {
                Progress::More => return None,
                Progress::Refused(fault, at) => {
                    return Some(Err(Box::new(refuse(fault, &buffer[..at]))));
                }
                Progress::Whole(end) => (end, Pieces::of(&buffer[..end], rules)),
            },
        };
        // Copied, so that the buffer goes back at once and a request that waits long holds no more
        // than its own head.
        let bytes = Bytes::copy_from_slice(&buffer[..end]);
        buffer.advance(end);
        let head = pieces.and_then(|pieces| parse(&bytes, pieces, rules));
        Some(head.map_err(|fault| Box::new(refuse(fault, &bytes))))
    }

    /// The head did not arrive in time.
    pub(super) fn late(&self, buffer: &[u8]) -> Refusal {
        refuse(Fault::HeadTimeout, buffer)
    }
}

// === impl Pieces ===

impl Pieces {
    /// Those of the head that `bytes` begin with. What it takes for one is what the scan takes for
    /// one; of what it does not, the scan knows more.
    fn of(bytes: &[u8], rules: &Rules) -> Result<Self, Fault> {
        let method = bytes.iter().take_while(|&&byte| is_token(byte)).count();
        if !(1..=METHOD_BYTES_MAX).contains(&method) || bytes.get(method) != Some(&b' ') {
            return Err(Fault::MalformedHead);
        }
        let target = &bytes[method + 1..];
        let target = &target[..memchr::memchr(b' ', target).ok_or(Fault::MalformedHead)?];
        if target.is_empty() || target.len() > rules.target_bytes {
            return Err(Fault::TargetTooLong);
        }
        if !is_graphic(target) {
            return Err(Fault::BadTarget);
        }
        let target_end = method + 1 + target.len();
        let protocol = match bytes[target_end + 1..].first_chunk() {
            Some(b"HTTP/1.1\r\n") => Protocol::Http11,
            Some(b"HTTP/1.0\r\n") => Protocol::Http10,
            _ => return Err(Fault::BadVersion),
        };
        let at = target_end + 1 + b"HTTP/1.1\r\n".len();
        let (lines, end) = Lines::cut(bytes, at, rules.headers, |cut| match cut.underscored {
            true => Known::Underscored,
            false => Known::of_request(cut.name),
        })
        .map_err(|uncut| match uncut {
            Uncut::Malformed => Fault::MalformedHead,
            Uncut::TooMany => Fault::HeadTooLarge,
        })?;
        Ok(Self { method_end: method, target_end, protocol, lines, end })
    }
}

/// Reads a head that has been cut into `pieces`.
fn parse(bytes: &Bytes, pieces: Pieces, rules: &Rules) -> Result<Head, Fault> {
    let Pieces { method_end, target_end, protocol, mut lines, .. } = pieces;
    let target = &bytes[method_end + 1..target_end];
    let mut notes = Notes::default();
    lines.seen(bytes).for_each(|(known, value)| notes.see(known, value));
    let (mut map, mut dropped) = (HeaderMap::new(), 0);
    lines.settle(bytes, |known, name, value| {
        let kept = keep(&mut map, known, (name, value), rules)?;
        dropped += usize::from(!kept);
        Ok::<(), Fault>(())
    })?;
    let method = Method::from_bytes(&bytes[..method_end]).map_err(|_| Fault::MalformedHead)?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Fault::MethodNotAllowed);
    }
    notes.connection()?;
    let host = notes.host()?;
    let uri = target::read(&method, &bytes.slice_ref(target), host)?;
    let framing = notes.framing(protocol, (&mut map, &mut lines), rules)?;
    let expects = notes.expects(protocol)? && framing != Framing::None;
    let upgrade = notes.upgrade(&method, protocol, framing, &mut map)?;
    let mut request = Incoming::of(lines);
    fill(&mut request.head, (method, uri, protocol), map, dropped);
    let persists = notes.persists(protocol);
    let https = target.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https:"));
    Ok(Head { request, protocol, framing, expects, upgrade, persists, https })
}

/// Puts a field that is no line into the map, unless it ends at the door; `false` when it is left
/// behind because of a `_` in its name.
fn keep(
    map: &mut HeaderMap,
    known: Known,
    (name, value): (&[u8], Bytes),
    rules: &Rules,
) -> Result<bool, Fault> {
    if matches!(known, Known::TransferEncoding | Known::Expect) {
        return Ok(true);
    }
    let name = HeaderName::from_bytes(name).map_err(|_| Fault::MalformedHead)?;
    // Rack folds `_` onto `-`: such a name could pass for one that usher sets or removes.
    if known == Known::Underscored && !rules.underscores.contains(&name) {
        return Ok(false);
    }
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::MalformedHead)?;
    let kept = map.try_append(name, value);
    kept.map(|_| true).map_err(|_| Fault::HeadTooLarge)
}

/// Whether all of `target` may stand in one; which of it may stand where is judged later.
fn is_graphic(target: &[u8]) -> bool {
    target.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// Fills a head in place: it is large.
fn fill(
    head: &mut Parts,
    (method, uri, protocol): (Method, Uri, Protocol),
    fields: HeaderMap,
    dropped: usize,
) {
    (head.method, head.uri) = (method, uri);
    if !fields.is_empty() {
        head.headers = fields;
    }
    head.version = match protocol {
        Protocol::Http11 | Protocol::Http2 => http::Version::HTTP_11,
        Protocol::Http10 => http::Version::HTTP_10,
    };
    if dropped > 0 {
        head.extensions.insert(DroppedNames(dropped));
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
