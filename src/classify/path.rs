//! A request's path as Rails' router will see it.
//!
//! Puma hands the path on undecoded. The router squeezes runs of `/`, drops one at the end and
//! writes percent escapes of lower-case digits in upper case (`Journey::Router::Utils`), then
//! compares text that is still encoded. It resolves no dot segments; what stands behind it might
//! (a file server, an engine, a proxy), so that paths which two readers could take for different
//! ones are refused instead of guessed at.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path as Rails' router will see it: begins with `/`, has no empty segment, ends with `/` only
/// when it is nothing else. Borrows what was sent when nothing had to be rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathView<'a>(Cow<'a, str>);

/// Why a path is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// A NUL, raw or as `%00`, at which readers written in C stop.
    #[error("the path holds a NUL (raw or `%00`)")]
    Nul,
    /// A raw back-slash, which some readers take for `/`.
    #[error("the path holds a raw back-slash")]
    BackSlash,
    /// A segment that is `.` or `..` once percent escapes are decoded, `%2F` and `%5C` included.
    #[error("a segment of the path is `.` or `..` (percent escapes decoded once)")]
    DotSegment,
    /// A raw `#`, at which Puma cuts the path off.
    #[error("the path holds a raw `#`, where Puma would end it")]
    Fragment,
}

// === impl PathView ===

impl<'a> PathView<'a> {
    /// Reads the path of a request's target, without its query. One pass over the bytes and no
    /// allocation for a path that is written the way Rails would write it.
    pub fn of(raw: &'a str) -> Result<Self, PathProblem> {
        let (mut rewrite, mut escapes, mut dots) = (!raw.starts_with('/'), false, false);
        let mut before = b'/';
        for (i, byte) in raw.bytes().enumerate() {
            match byte {
                b'/' => rewrite |= before == b'/' && i > 0,
                b'.' => dots |= before == b'/',
                b'%' => escapes = true,
                b'#' => return Err(PathProblem::Fragment),
                b'\\' => return Err(PathProblem::BackSlash),
                0 => return Err(PathProblem::Nul),
                _ => {}
            }
            before = byte;
        }
        if escapes || dots {
            refuse_ambiguity(raw)?;
        }
        rewrite |= raw.len() > 1 && before == b'/';
        rewrite |= escapes && (0..raw.len()).any(|at| lower_escape(raw.as_bytes(), at));
        Ok(Self(if rewrite { Cow::Owned(rewritten(raw)) } else { Cow::Borrowed(raw) }))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the first `/`; nothing for the root.
    pub(super) fn tail(&self) -> Option<&str> {
        Some(&self.0[1..]).filter(|tail| !tail.is_empty())
    }
}

/// Splits the optional `.format` off a last segment: Rails takes the text after the last dot when
/// there is text on both sides of it.
pub(super) fn without_format(segment: &str) -> Option<&str> {
    let (stem, format) = segment.rsplit_once('.')?;
    (!stem.is_empty() && !format.is_empty()).then_some(stem)
}

/// Writes a path as `Journey::Router::Utils.normalize_path` does.
pub(super) fn rewritten(raw: &str) -> String {
    let mut path = String::with_capacity(raw.len() + 1);
    path.push('/');
    let mut upper_until = 0;
    for (at, character) in raw.char_indices() {
        if lower_escape(raw.as_bytes(), at) {
            upper_until = at + 3;
        }
        if character != '/' || !path.ends_with('/') {
            path.push(if at < upper_until { character.to_ascii_uppercase() } else { character });
        }
    }
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}

/// Whether an escape that Rails writes in upper case begins here: `%[a-f0-9]{2}`. Mixed case, as
/// in `%aB`, is left as it is and therefore is a different text to the router.
fn lower_escape(path: &[u8], at: usize) -> bool {
    let digit = |i: usize| matches!(path.get(i), Some(b'a'..=b'f' | b'0'..=b'9'));
    path[at] == b'%' && digit(at + 1) && digit(at + 2)
}

fn refuse_ambiguity(raw: &str) -> Result<(), PathProblem> {
    let (mut length, mut dots_only) = (0_usize, true);
    for byte in percent_decode_str(raw).chain([b'/']) {
        match byte {
            0 => return Err(PathProblem::Nul),
            b'/' | b'\\' => {
                if dots_only && (1..=2).contains(&length) {
                    return Err(PathProblem::DotSegment);
                }
                (length, dots_only) = (0, true);
            }
            other => {
                length += 1;
                dots_only &= other == b'.';
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(raw: &str) -> String {
        PathView::of(raw).map_or_else(|problem| format!("{problem:?}"), |v| v.as_str().to_owned())
    }

    #[test]
    fn a_path_is_written_as_the_router_writes_it() {
        for (raw, normal) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("//", "/"),
            ("/admin", "/admin"),
            ("/admin/", "/admin"),
            ("///admin//x///", "/admin/x"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/mixed%aB%Ab", "/mixed%aB%Ab"),
            ("/%%ab%a", "/%%AB%a"),
            ("/%zz%", "/%zz%"),
            ("/%2Fadmin", "/%2Fadmin"),
            ("/ADMIN", "/ADMIN"),
            ("/%61dmin", "/%61dmin"),
            ("/admin;x=1/y", "/admin;x=1/y"),
            ("/.well-known/acme", "/.well-known/acme"),
            ("/a/...", "/a/..."),
            ("/..;/admin", "/..;/admin"),
            ("/é/", "/é"),
        ] {
            assert_eq!(seen(raw), normal, "{raw}");
        }
    }

    #[test]
    fn a_path_that_two_readers_could_understand_differently_is_refused() {
        for raw in ["/..", "/.", "/a/../b", "/a/./b", "/%2e%2E/admin", "/.%2e", "/a/..%2fadmin"] {
            assert_eq!(PathView::of(raw), Err(PathProblem::DotSegment), "{raw}");
        }
        for raw in ["/a%2f..%2Fb", "/..%5cadmin", "/a%5c..", "..", "/a/%2e"] {
            assert_eq!(PathView::of(raw), Err(PathProblem::DotSegment), "{raw}");
        }
        assert_eq!(PathView::of("/a\\b"), Err(PathProblem::BackSlash));
        assert_eq!(PathView::of("/a\0b"), Err(PathProblem::Nul));
        assert_eq!(PathView::of("/a%00b"), Err(PathProblem::Nul));
        assert_eq!(PathView::of("/admin#x"), Err(PathProblem::Fragment));
        assert!(PathView::of("/a%2500b").is_ok(), "decoded once, not twice");
        assert!(PathView::of("/%252e%252e/b").is_ok(), "decoded once, not twice");
    }

    #[test]
    fn a_path_in_normal_form_is_borrowed() {
        let view = PathView::of("/orders/1/items.json").expect("a plain path");
        assert!(matches!(view.0, Cow::Borrowed(_)));
    }

    #[test]
    fn a_format_is_what_stands_behind_the_last_dot() {
        assert_eq!(without_format("x.json"), Some("x"));
        assert_eq!(without_format("x.tar.gz"), Some("x.tar"));
        assert_eq!(without_format("x."), None);
        assert_eq!(without_format(".json"), None);
        assert_eq!(without_format("x"), None);
    }
}
