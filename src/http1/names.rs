//! Which fields of a head usher has to do with, told by their names while it is read.
//!
//! All others go on as they came (see [`Lines`](super::lines::Lines)). What is missing here would
//! pass unseen: whoever looks for another name in a map has to add it; a test of `proxy/headers`
//! holds these lists to what is removed and read there. Names that a configuration asks for need
//! not stand here: they are looked for when it is known which configuration decides.

/// What a field is to whoever reads a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Nobody on the way reads it by this name.
    #[default]
    Other,
    /// Read, and passed on as it is.
    Host,
    /// As above.
    Accept,
    /// As above.
    TraceParent,
    /// As above.
    ContentType,
    /// As above.
    Date,
    /// Written anew where it is not as usher writes it.
    ContentLength,
    /// The door's.
    TransferEncoding,
    /// As above.
    Expect,
    /// As above.
    Upgrade,
    /// As above.
    Connection,
    /// As above.
    Http2Settings,
    /// Read, removed or rewritten by somebody: it lies in the map.
    Kept,
    /// Its name holds a `_`, which only some may.
    Underscored,
}

// === impl Known ===

impl Known {
    /// What a field called `name` of a request is.
    pub fn of_request(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let begins = |front: &str| begins(name, front);
        match first(name) {
            b'a' if is("accept") => Self::Accept,
            b'a' => kept(is("access-control-request-method")),
            b'c' => match name.len() {
                10 if is("connection") => Self::Connection,
                14 if is("content-length") => Self::ContentLength,
                _ => kept(is("client-ip")),
            },
            b'e' if is("expect") => Self::Expect,
            b'f' => kept(is("forwarded")),
            b'h' if is("host") => Self::Host,
            b'h' if is("http2-settings") => Self::Http2Settings,
            b'i' => kept(is("idempotency-key")),
            b'k' => kept(is("keep-alive")),
            b'p' => kept(begins("proxy")),
            b's' => kept(begins("sec-websocket-")),
            b't' => match name.len() {
                11 if is("traceparent") => Self::TraceParent,
                17 if is("transfer-encoding") => Self::TransferEncoding,
                _ => kept(is("te") || is("trailer") || is("true-client-ip")),
            },
            b'u' if is("upgrade") => Self::Upgrade,
            b'v' => kept(is("via")),
            b'x' => kept(extension_of_request(name)),
            _ => Self::Other,
        }
    }

    /// What a field called `name` of an answer is.
    pub fn of_answer(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match first(name) {
            b'c' => match name.len() {
                10 if is("connection") => Self::Connection,
                12 if is("content-type") => Self::ContentType,
                14 if is("content-length") => Self::ContentLength,
                _ => Self::Other,
            },
            b'd' if is("date") => Self::Date,
            b'k' => kept(is("keep-alive")),
            b'p' => kept(is("proxy-connection")),
            b's' => kept(begins(name, "sec-websocket-")),
            b't' if is("transfer-encoding") => Self::TransferEncoding,
            b't' => kept(is("te") || is("trailer")),
            b'u' => kept(is("upgrade")),
            b'x' => kept(match name.get(2).map(u8::to_ascii_lowercase) {
                Some(b'a') => begins(name, "x-accel-"),
                Some(b's') => begins(name, "x-sendfile"),
                Some(b'u') => begins(name, "x-usher-"),
                _ => false,
            }),
            _ => Self::Other,
        }
    }

    /// Those that lie among the lines, and not in the map.
    pub(super) const PASSING: u16 = Self::Other.bit()
        | Self::Host.bit()
        | Self::Accept.bit()
        | Self::TraceParent.bit()
        | Self::ContentType.bit()
        | Self::Date.bit()
        | Self::ContentLength.bit();

    /// Whether such a field lies among the lines, and not in the map.
    pub fn passes(self) -> bool {
        Self::PASSING & self.bit() != 0
    }

    /// Its own bit.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u8
    }
}

fn extension_of_request(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.get(2).map(u8::to_ascii_lowercase) {
        Some(b'a') => is("x-audience") || is("x-accel-mapping"),
        Some(b'c') => is("x-client-ip"),
        Some(b'f') => begins(name, "x-forwarded-"),
        Some(b'o') => is("x-original-url"),
        Some(b'r') => {
            is("x-request-id") || is("x-request-start") || is("x-real-ip") || is("x-rewrite-url")
        }
        Some(b's') => is("x-sendfile-type"),
        Some(b'u') => begins(name, "x-usher-"),
        _ => false,
    }
}

/// The first letter in lower case.
fn first(name: &[u8]) -> u8 {
    name.first().map_or(0, u8::to_ascii_lowercase)
}

fn begins(name: &[u8], front: &str) -> bool {
    name.get(..front.len()).is_some_and(|start| start.eq_ignore_ascii_case(front.as_bytes()))
}

fn kept(it: bool) -> Known {
    if it { Known::Kept } else { Known::Other }
}
