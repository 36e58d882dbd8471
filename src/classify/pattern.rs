//! Patterns over paths.
//!
//! A pattern is written like a route of Rails and means the same: segments compare as the text
//! that the router compares, still encoded; a last literal segment may be followed by a `.format`.

use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use regex::bytes::Regex;

use super::{
    path::{PathView, rewritten, without_format},
    text::{PatternError, regex},
};

/// The most segments of a pattern.
const SEGMENTS_MAX: usize = 64;

/// What Rails writes as escapes when a route holds it (`URI::DEFAULT_PARSER.escape`), but for `%`:
/// an escape in a pattern means the same escape in a path.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A pattern over paths, as Rails will see them.
///
/// `/admin/**` takes `/admin`, `/admin.json` and all below it; `*` and `:name` take one whole
/// segment; without a wildcard a pattern is exact up to an optional `.format`; `~` begins a regular
/// expression over the path in the router's writing.
#[derive(Clone, Debug)]
pub struct PathPattern {
    written: Box<str>,
    kind: Kind,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// This text, as the router writes it.
    Literal(Box<str>),
    /// Any one segment.
    Any,
}

/// Segments from the root on, and what may follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Segments {
    /// From the root on.
    pub(super) parts: Vec<Segment>,
    /// What may stand behind them.
    pub(super) end: End,
}

/// What may stand behind the segments of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// Nothing.
    Here,
    /// Anything: `**`.
    Rest,
}

#[derive(Clone, Debug)]
enum Kind {
    Segments(Segments),
    Regex(Regex),
}

// === impl PathPattern ===

impl PathPattern {
    /// Reads a pattern such as `/admin/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let kind = match text.strip_prefix('~') {
            Some(expression) => Kind::Regex(regex(expression)?),
            None => Kind::Segments(segments(text)?),
        };
        Ok(Self { written: text.into(), kind })
    }

    /// Whether the pattern takes `path`.
    pub fn matches(&self, path: &PathView<'_>) -> bool {
        match &self.kind {
            Kind::Segments(segments) => segments.matches(path),
            Kind::Regex(regex) => regex.is_match(path.as_str().as_bytes()),
        }
    }

    /// The segments, unless this is a regular expression.
    pub(super) fn segments(&self) -> Option<&Segments> {
        match &self.kind {
            Kind::Segments(segments) => Some(segments),
            Kind::Regex(_) => None,
        }
    }

    /// Whether every path that `other` takes is taken by this one; false when that is not certain.
    pub(super) fn covers(&self, other: &PathPattern) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Segments(a), _) if a.parts.is_empty() && a.end == End::Rest => true,
            (Kind::Segments(a), Kind::Segments(b)) => a.covers(b),
            (Kind::Regex(a), Kind::Regex(b)) => a.as_str() == b.as_str(),
            (Kind::Regex(_), Kind::Segments(_)) | (Kind::Segments(_), Kind::Regex(_)) => false,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

// === impl Segments ===

impl Segments {
    fn matches(&self, path: &PathView<'_>) -> bool {
        let mut tail = path.tail();
        for part in &self.parts {
            let Some(rest) = tail else { return false };
            let (segment, after) = rest.split_once('/').map_or((rest, None), |(s, a)| (s, Some(a)));
            if !part.takes(segment, after) {
                return false;
            }
            tail = after;
        }
        tail.is_none() || self.end == End::Rest
    }

    fn covers(&self, other: &Segments) -> bool {
        let long_enough = match (self.end, other.end) {
            (End::Here, End::Here) => self.parts.len() == other.parts.len(),
            (End::Here, End::Rest) => false,
            (End::Rest, _) => self.parts.len() <= other.parts.len(),
        };
        let wider = |(a, b): (&Segment, &Segment)| *a == Segment::Any || a == b;
        long_enough && self.parts.iter().zip(&other.parts).all(wider)
    }
}

// === impl Segment ===

impl Segment {
    fn takes(&self, segment: &str, after: Option<&str>) -> bool {
        match self {
            Segment::Any => true,
            Segment::Literal(text) if **text == *segment => true,
            Segment::Literal(text) => after.is_none() && without_format(segment) == Some(&**text),
        }
    }
}

fn segments(text: &str) -> Result<Segments, PatternError> {
    if !text.starts_with('/') {
        return Err(PatternError::PathStart);
    }
    if text.contains(['?', '#']) {
        return Err(PatternError::PathEnd);
    }
    let view = PathView::of(text).map_err(PatternError::Refused)?;
    let path = match Cow::from(utf8_percent_encode(text, ESCAPED)) {
        Cow::Borrowed(_) => Cow::Borrowed(view.as_str()),
        Cow::Owned(escaped) => Cow::Owned(rewritten(&escaped)),
    };
    let mut written: Vec<&str> = path[1..].split('/').filter(|s| !s.is_empty()).collect();
    let end = if written.last() == Some(&"**") { End::Rest } else { End::Here };
    if end == End::Rest {
        written.pop();
    }
    if written.len() > SEGMENTS_MAX {
        return Err(PatternError::Parts { max: SEGMENTS_MAX });
    }
    Ok(Segments { parts: written.into_iter().map(segment).collect::<Result<_, _>>()?, end })
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    let word = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if text == "*" || text.strip_prefix(':').is_some_and(word) {
        return Ok(Segment::Any);
    }
    if text == "**" {
        return Err(PatternError::RestNotLast);
    }
    if text.contains(['*', ':']) {
        if text.contains("(.:") {
            return Err(PatternError::Optional { segment: text.to_owned() });
        }
        return Err(PatternError::PartSegment { segment: text.to_owned() });
    }
    Ok(Segment::Literal(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::parse(pattern).expect("a pattern");
        pattern.matches(&PathView::of(path).expect("a path"))
    }

    #[test]
    fn two_stars_take_a_place_and_all_below_it() {
        for path in ["/admin", "/admin/", "/admin/x", "/admin.json", "//admin//x/y.html"] {
            assert!(takes("/admin/**", path), "{path}");
        }
        for path in ["/administrators", "/", "/x/admin", "/Admin", "/admin.tar.gz", "/admin;x"] {
            assert!(!takes("/admin/**", path), "{path}");
        }
        assert!(takes("/**", "/") && takes("/**", "/a/b"));
    }

    #[test]
    fn without_a_wildcard_a_path_is_exact_up_to_its_format() {
        for path in ["/orders", "/orders/", "/orders.json", "/orders.json/"] {
            assert!(takes("/orders", path), "{path}");
        }
        for path in ["/orders.", "/orders.a.b", "/orders/1", "/orders%2Ejson"] {
            assert!(!takes("/orders", path), "{path}");
        }
        assert!(takes("/feed.xml", "/feed.xml") && takes("/feed.xml", "/feed.xml.gz"));
        assert!(takes("/", "/") && !takes("/", "/.json"));
    }

    #[test]
    fn a_name_or_a_star_stands_for_one_whole_segment() {
        for pattern in ["/shops/:id/menu", "/shops/*/menu"] {
            assert!(takes(pattern, "/shops/1/menu") && takes(pattern, "/shops/1.2/menu.json"));
            assert!(!takes(pattern, "/shops/menu") && !takes(pattern, "/shops/1/2/menu"));
        }
        assert!(takes("/*", "/x.json") && !takes("/*", "/"));
        assert!(takes("/*/**", "/x/y/z") && !takes("/*/**", "/"));
    }

    #[test]
    fn an_escape_in_a_pattern_compares_like_one_in_a_path() {
        assert!(takes("/caf%c3%a9", "/caf%C3%A9") && takes("/café", "/caf%c3%a9"));
        assert!(!takes("/caf%C3%A9", "/café"), "raw bytes are another text to the router");
        assert!(!takes("/a%2Fb", "/a/b") && takes("/a%2fb", "/a%2Fb"));
    }

    #[test]
    fn a_regular_expression_sees_the_path_in_the_routers_writing() {
        assert!(takes(r"~^/v\d+/", "//v2//x"));
        assert!(!takes(r"~^/v\d+/", "/v2/"));
    }

    #[test]
    fn a_pattern_that_cannot_mean_anything_is_refused() {
        for wrong in
            ["", "admin", "/a?b", "/a#b", "/a/../b", "/**/x", "/a*", "/a:b", "/:", "/a(.:format)"]
        {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
