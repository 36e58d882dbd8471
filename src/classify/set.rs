//! A few path patterns, of which most paths match none.

use super::{PathPattern, PathView, pattern::Segment};

/// Patterns over paths; most paths are let go after a look at one byte.
#[derive(Clone, Debug)]
pub struct PathSet {
    patterns: Box<[PathPattern]>,
    /// A bit for each ASCII byte that a path may begin with behind its `/`.
    first: u128,
    /// Whether any path has to be compared.
    any: bool,
}

// === impl PathSet ===

impl PathSet {
    /// The paths that any of `patterns` takes.
    pub fn new(patterns: &[PathPattern]) -> Self {
        let (mut first, mut any) = (0, false);
        for pattern in patterns {
            let literal = pattern.segments().and_then(|segments| match segments.parts.first() {
                Some(Segment::Literal(text)) => text.bytes().next(),
                Some(Segment::Any) | None => None,
            });
            match literal.filter(u8::is_ascii) {
                Some(byte) => first |= 1 << byte,
                None => any = true,
            }
        }
        Self { patterns: patterns.into(), first, any }
    }

    /// Whether one of the patterns takes `path`.
    pub fn takes(&self, path: &PathView<'_>) -> bool {
        let begins = path.tail().and_then(|tail| tail.bytes().next()).filter(u8::is_ascii);
        let may = self.any || begins.is_some_and(|byte| self.first >> byte & 1 == 1);
        may && self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    /// As they were written.
    pub fn patterns(&self) -> &[PathPattern] {
        &self.patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_what_any_of_its_patterns_takes() {
        let lists: [&[&str]; 4] = [&["/up", "/assets/**"], &["/*/x"], &["~^/a"], &["/"]];
        let paths = ["/", "/up", "/up.json", "/upper", "/assets", "/assets/a.js", "/b/x", "/é"];
        for list in lists {
            let patterns: Vec<PathPattern> =
                list.iter().map(|text| PathPattern::parse(text).expect("a pattern")).collect();
            let set = PathSet::new(&patterns);
            for path in paths {
                let view = PathView::of(path).expect("a path");
                let expected = patterns.iter().any(|pattern| pattern.matches(&view));
                assert_eq!(set.takes(&view), expected, "{list:?} {path}");
            }
        }
    }
}
