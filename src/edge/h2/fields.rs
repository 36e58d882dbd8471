//! Fields of a request's head: what they say, and which of them anybody has to look at again.

use http::{HeaderMap, HeaderValue, header};
use smallvec::SmallVec;

use crate::{
    edge::{
        rules::Rules,
        strict::{host, length},
    },
    fault::Fault,
    http1::{
        lines::{Laying, Lines},
        names::Known,
    },
};

use super::blocks::MARK;

/// `: ` and the end of a line: what a field takes in HTTP/1.1 beside its name and value.
const FIELD_BYTES: usize = 4;

/// Between the crumbs of the one `Cookie`.
const CRUMB: &[u8] = b"; ";

/// The fields of a head, as they go on.
pub(super) struct Fields {
    /// Those that somebody on the way has to do with.
    pub(super) map: HeaderMap,
    /// All others.
    pub(super) lines: Lines,
    /// How many were left behind because of a `_` in their name.
    pub(super) dropped: usize,
}

/// What the fields of a head are, and what they say to who reads it.
#[derive(Default)]
pub(super) struct Notes<'h> {
    /// What each of them is, in the order of the map.
    kinds: SmallVec<[Known; 32]>,
    /// What they will take in HTTP/1.1, where a `Cookie` is one.
    pub(super) bytes: usize,
    pub(super) fields: usize,
    crumbs: usize,
    host: Seen<'h>,
    length: Seen<'h>,
    expectation: Seen<'h>,
}

/// A field that may come once.
#[derive(Default)]
struct Seen<'h> {
    first: Option<&'h HeaderValue>,
    again: bool,
}

// === impl Notes ===

impl<'h> Notes<'h> {
    /// Looks at all of them; `authority` becomes the one `Host`, and is a field there.
    pub(super) fn of(headers: &'h HeaderMap, authority: Option<&str>) -> Result<Self, Fault> {
        let mut notes = Self::default();
        for (name, value) in headers {
            // RFC 9113 §8.2.1: as a line of HTTP/1.1 it would lose them, and be another value. A
            // head that is marked had something in it that was worse.
            if is_padded(value.as_bytes()) || name.as_str() == MARK {
                return Err(Fault::MalformedHead);
            }
            notes.crumbs += usize::from(*name == header::COOKIE);
            if notes.crumbs > 1 && *name == header::COOKIE {
                notes.bytes += CRUMB.len() + value.len();
            } else {
                notes.count(name.as_str().len() + value.len());
            }
            notes.see(kind(name.as_str().as_bytes()), value);
        }
        if let Some(authority) = authority.filter(|_| notes.host.first.is_none()) {
            notes.count(header::HOST.as_str().len() + authority.len());
        }
        Ok(notes)
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes + FIELD_BYTES;
        self.fields += 1;
    }

    fn see(&mut self, kind: Known, value: &'h HeaderValue) {
        self.kinds.push(kind);
        let seen = match kind {
            Known::Host => &mut self.host,
            Known::ContentLength => &mut self.length,
            Known::Expect => &mut self.expectation,
            Known::Other
            | Known::Accept
            | Known::TraceParent
            | Known::ContentType
            | Known::Date
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::Connection
            | Known::Http2Settings
            | Known::Kept
            | Known::Underscored => return,
        };
        seen.again = seen.first.is_some();
        seen.first.get_or_insert(value);
    }

    /// `:authority` is the one `Host`; a `Host` beside it has to say the same (RFC 9113 §8.3.1).
    pub(super) fn one_host<'a>(&self, authority: Option<&'a str>) -> Result<&'a [u8], Fault>
    where
        'h: 'a,
    {
        let host = self.host.first.map(HeaderValue::as_bytes);
        let authority = authority.map(str::as_bytes);
        let agrees = |host: &[u8]| authority.is_none_or(|it| host.eq_ignore_ascii_case(it));
        let one = authority.or(host).filter(|one| host::is_valid(one));
        one.filter(|_| !self.host.again && host.is_none_or(agrees)).ok_or(Fault::BadHost)
    }

    /// The one length.
    pub(super) fn length(&self, rules: &Rules) -> Result<Option<u64>, Fault> {
        let Some(first) = self.length.first else { return Ok(None) };
        let length = length::read(first.as_bytes()).filter(|_| !self.length.again);
        let length = length.ok_or(Fault::BadFraming)?;
        if length > rules.body_bytes { Err(Fault::BodyTooLarge) } else { Ok(Some(length)) }
    }

    pub(super) fn expects(&self) -> Result<bool, Fault> {
        let Some(first) = self.expectation.first else { return Ok(false) };
        let continues = first.as_bytes().eq_ignore_ascii_case(b"100-continue");
        if continues && !self.expectation.again { Ok(true) } else { Err(Fault::BadExpectation) }
    }

    /// Parts fields that somebody has to do with from those that go on as they came.
    pub(super) fn lay(
        &self,
        headers: &HeaderMap,
        host: &[u8],
        length: Option<u64>,
        rules: &Rules,
    ) -> Result<Fields, Fault> {
        let (mut map, mut dropped, mut crumbs) = (HeaderMap::new(), 0, 0);
        let mut lines = Laying::new(self.fields, self.bytes);
        lines.lay(header::HOST.as_str().as_bytes(), host, Known::Host);
        for ((name, value), kind) in headers.iter().zip(&self.kinds) {
            let text = name.as_str().as_bytes();
            match kind {
                // They end here, or are written anew.
                Known::Host | Known::ContentLength | Known::Expect | Known::Http2Settings => {}
                Known::Underscored if !rules.underscores.contains(name) => dropped += 1,
                Known::Kept if *name == header::TE => {}
                // HTTP/2 may cut a `Cookie` into crumbs; others know one (RFC 9113 §8.2.3).
                Known::Other if self.crumbs > 1 && *name == header::COOKIE => {
                    match crumbs {
                        0 => lines.lay(text, value.as_bytes(), Known::Other),
                        _ => lines.extend(CRUMB, value.as_bytes()),
                    }
                    crumbs += 1;
                }
                Known::Other
                | Known::Accept
                | Known::TraceParent
                | Known::ContentType
                | Known::Date => lines.lay(text, value.as_bytes(), *kind),
                Known::TransferEncoding
                | Known::Upgrade
                | Known::Connection
                | Known::Kept
                | Known::Underscored => {
                    let kept = map.try_append(name.clone(), value.clone());
                    kept.map_err(|_| Fault::HeadTooLarge)?;
                }
            }
        }
        if let Some(length) = length {
            let name = header::CONTENT_LENGTH.as_str().as_bytes();
            lines.lay(name, itoa::Buffer::new().format(length).as_bytes(), Known::ContentLength);
        }
        Ok(Fields { map, lines: lines.done(), dropped })
    }
}

/// Whether a value begins or ends with a blank.
fn is_padded(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    is_blank(value.first()) || is_blank(value.last())
}

/// What a field called `name` is. Rack folds `_` onto `-`: such a name could pass for one that
/// usher sets or removes.
fn kind(name: &[u8]) -> Known {
    if name.contains(&b'_') { Known::Underscored } else { Known::of_request(name) }
}
