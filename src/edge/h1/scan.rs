//! The first look at a head: where it ends, and whether every byte of it may stand where it stands.
//!
//! It goes strictly from left to right and stops at the first thing that is wrong, so that the
//! verdict does not depend on how the bytes were cut on their way: lines end with CRLF and nothing
//! else, no line is folded, no control byte stands anywhere, and no limit is passed.

use crate::{edge::strict::METHOD_BYTES_MAX, fault::Fault};

use super::Rules;

/// How far a head has been looked at.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the current line begins.
    line: usize,
    /// Up to where its bytes have been looked at.
    seen: usize,
}

/// What is known after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Good so far, but not whole.
    More,
    /// The head ends before this position.
    Whole(usize),
    /// It is refused because of what stands at this position.
    Refused(Fault, usize),
}

// === impl Scan ===

impl Scan {
    /// Whether nothing has been looked at yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Looks at what has come since the last time. `bytes` begin with the request line.
    pub(super) fn look(&mut self, bytes: &[u8], rules: &Rules) -> Progress {
        let within = &bytes[..bytes.len().min(rules.head_bytes)];
        while let Some(offset) = memchr::memchr(b'\n', &within[self.seen..]) {
            let end = self.seen + offset;
            if let Err((fault, at)) = self.line(&within[..=end], rules) {
                return Progress::Refused(fault, at);
            }
            if end - self.line == 1 {
                return Progress::Whole(end + 1);
            }
            self.line = end + 1;
            self.seen = end + 1;
        }
        if let Err((fault, at)) = self.line(within, rules) {
            return Progress::Refused(fault, at);
        }
        if bytes.len() >= rules.head_bytes {
            return Progress::Refused(Fault::HeadTooLarge, rules.head_bytes);
        }
        // A CR at the very end is good only if LF follows: it is looked at again.
        self.seen = within.len() - usize::from(within.last() == Some(&b'\r'));
        self.seen = self.seen.max(self.line);
        Progress::More
    }

    /// Judges the current line, whole if it ends with LF.
    fn line(&self, bytes: &[u8], rules: &Rules) -> Result<(), (Fault, usize)> {
        let line = &bytes[self.line..];
        let (text, ended) = match line {
            [text @ .., b'\r', b'\n'] => (text, true),
            [text @ .., b'\n'] => {
                let text = &text[..first_bad(text)];
                return Err(self.bare(text, rules));
            }
            [text @ .., b'\r'] => (text, false),
            text => (text, false),
        };
        let unseen = (self.seen - self.line).min(text.len());
        if has_control(&text[unseen..]) {
            return Err(self.bare(&text[..first_bad(text)], rules));
        }
        if self.line == 0 {
            return request_line(text, ended, rules).map_err(|(fault, at)| (fault, self.line + at));
        }
        // Also the empty line that ends a head passes here: it begins with neither.
        match text.first() {
            Some(b' ' | b'\t') => Err((Fault::MalformedHead, self.line)),
            _ => Ok(()),
        }
    }

    /// The verdict on a line whose first bad byte comes right after `text`.
    fn bare(&self, text: &[u8], rules: &Rules) -> (Fault, usize) {
        if self.line == 0
            && let Err(earlier) = request_line(text, false, rules)
        {
            return earlier;
        }
        (Fault::MalformedHead, self.line + text.len())
    }
}

/// Judges a request line as far as it has come: the lengths of its parts and its version.
fn request_line(text: &[u8], ended: bool, rules: &Rules) -> Result<(), (Fault, usize)> {
    let method = text.iter().take(METHOD_BYTES_MAX + 1).take_while(|&&b| is_token(b)).count();
    let target = match text.get(method) {
        Some(b' ') if (1..=METHOD_BYTES_MAX).contains(&method) => &text[method + 1..],
        None if !ended && method <= METHOD_BYTES_MAX => return Ok(()),
        _ => return Err((Fault::MalformedHead, method)),
    };
    let length = memchr::memchr(b' ', target).unwrap_or(target.len());
    if length > rules.target_bytes {
        return Err((Fault::TargetTooLong, method + 1 + rules.target_bytes));
    }
    if !ended {
        return Ok(());
    }
    match target.get(length + 1..) {
        Some(b"HTTP/1.1" | b"HTTP/1.0") if length > 0 => Ok(()),
        Some(rest) if length == 0 || rest.contains(&b' ') => {
            Err((Fault::MalformedHead, text.len()))
        }
        _ => Err((Fault::BadVersion, text.len())),
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Looks at all bytes without stopping early, which compilers turn into wide instructions.
fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |found, &b| found | is_control(b))
}

fn first_bad(text: &[u8]) -> usize {
    text.iter().position(|&b| is_control(b)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: &[u8]) -> Progress {
        let rules = Rules { head_bytes: 200, target_bytes: 50, ..Rules::default() };
        let whole = Scan::default().look(bytes, &rules);
        for step in [1, 2, 3] {
            let mut scan = Scan::default();
            let mut progress = Progress::More;
            let mut end = 0;
            while progress == Progress::More && end < bytes.len() {
                end = (end + step).min(bytes.len());
                progress = scan.look(&bytes[..end], &rules);
            }
            assert_eq!(progress, whole, "in steps of {step}: {:?}", bytes.escape_ascii());
        }
        whole
    }

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        assert_eq!(look(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody"), Progress::Whole(27));
        assert_eq!(look(b"GET / HTTP/1.0\r\n\r\n"), Progress::Whole(18));
        assert_eq!(look(b"GET / HTTP/1.1\r\nHost: a\r\n"), Progress::More);
    }

    #[test]
    fn what_may_not_stand_in_a_head_is_refused_where_it_stands() {
        use Fault::{BadVersion, HeadTooLarge, MalformedHead, TargetTooLong};
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(60));
        let fields = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(200));
        for (bytes, fault, at) in [
            (&b"GET / HTTP/1.1\nHost: a\n\n"[..], MalformedHead, 14),
            (b"GET / HTTP/1.1\r\nHost: a\n\n", MalformedHead, 23),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", MalformedHead, 20),
            (b"GET / HTTP/1.1\r\nA: b\r\r\n\r\n", MalformedHead, 20),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", MalformedHead, 22),
            (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", MalformedHead, 16),
            (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", MalformedHead, 19),
            (b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", MalformedHead, 19),
            (b"\x16\x03\x01", MalformedHead, 0),
            (b" GET / HTTP/1.1\r\n\r\n", MalformedHead, 0),
            (b"GET  / HTTP/1.1\r\n\r\n", MalformedHead, 15),
            (b"GET /a b HTTP/1.1\r\n\r\n", MalformedHead, 17),
            (b"GET\t/ HTTP/1.1\r\n\r\n", MalformedHead, 3),
            (b"G(T / HTTP/1.1\r\n\r\n", MalformedHead, 1),
            (b"GET /\r\n\r\n", BadVersion, 5),
            (b"GET / HTTP/1.2\r\n\r\n", BadVersion, 14),
            (b"GET / HTTP/01.1\r\n\r\n", BadVersion, 15),
            (b"GET / http/1.1\r\n\r\n", BadVersion, 14),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion, 14),
            (long.as_bytes(), TargetTooLong, 54),
            (fields.as_bytes(), HeadTooLarge, 200),
        ] {
            assert_eq!(look(bytes), Progress::Refused(fault, at), "{:?}", bytes.escape_ascii());
        }
    }
}
