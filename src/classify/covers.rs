//! Whether one rule leaves anything to another.

use std::{
    hash::{BuildHasher as _, Hash},
    mem::discriminant,
};

use rustc_hash::FxBuildHasher;

use super::{Matcher, PathPattern, RuleSpec, Text, UserPattern, VersionRange, pattern::Segment};
use crate::peer::Network;

/// What a rule reaches at most, in a few words: enough to tell of most pairs of rules that neither
/// covers the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reach {
    /// A bit for each kind of condition that it has.
    kinds: u32,
    /// Hashes of the first two segments of its path; 0 is any.
    segments: [u32; 2],
}

/// Whether every request that `later` takes is taken by `earlier`, so that `later` can never match
/// behind it. True only when that is certain; patterns are compared, not all requests tried.
pub fn covers(earlier: &RuleSpec, later: &RuleSpec) -> bool {
    // What `earlier` asks, `later` must ask as strictly; what it shuts out, `later` must, too.
    let asked = |wide: &Matcher| later.all.iter().any(|narrow| takes_in(wide, narrow));
    let shut_out = |narrow: &Matcher| later.not.iter().any(|wide| takes_in(wide, narrow));
    earlier.all.iter().all(asked) && earlier.not.iter().all(shut_out)
}

// === impl Reach ===

impl Reach {
    /// What `rule` reaches.
    pub fn of(rule: &RuleSpec) -> Self {
        let mut reach = Self::default();
        for matcher in &rule.all {
            reach.kinds |= 1 << (hash(discriminant(matcher)) % 32);
            if let Matcher::Path(patterns) = matcher {
                reach.segments = segments(patterns);
            }
        }
        reach
    }

    /// Whether a rule that reaches this may cover one that reaches `narrow`; it does not when this
    /// says no.
    pub fn may_cover(self, narrow: Self) -> bool {
        let wider = |at: usize| self.segments[at] == 0 || self.segments[at] == narrow.segments[at];
        self.kinds & !narrow.kinds == 0 && wider(0) && wider(1)
    }
}

/// The first segments that all of `patterns` have; those of one that is no list of them are any.
fn segments(patterns: &[PathPattern]) -> [u32; 2] {
    let of = |pattern: &PathPattern| {
        let segment = |at: usize| match pattern.segments()?.parts.get(at)? {
            Segment::Literal(text) => Some(hash(text).max(1)),
            Segment::Any => None,
        };
        [segment(0).unwrap_or(0), segment(1).unwrap_or(0)]
    };
    let all = patterns.iter().map(of);
    all.reduce(|a, b| [0, 1].map(|at| if a[at] == b[at] { a[at] } else { 0 })).unwrap_or([0; 2])
}

fn hash(of: impl Hash) -> u32 {
    // The upper half of this hash is the better one.
    (FxBuildHasher.hash_one(of) >> 32) as u32
}

/// Whether `wide` holds wherever `narrow` does.
fn takes_in(wide: &Matcher, narrow: &Matcher) -> bool {
    match (wide, narrow) {
        (Matcher::Path(wide), Matcher::Path(narrow)) => each(narrow, wide, |w, n| w.covers(n)),
        (Matcher::Host(wide), Matcher::Host(narrow)) => each(narrow, wide, |w, n| w.covers(n)),
        (Matcher::Client(wide), Matcher::Client(narrow)) => each(narrow, wide, Network::covers),
        (Matcher::Method(wide), Matcher::Method(narrow))
        | (Matcher::Subject(wide), Matcher::Subject(narrow))
        | (Matcher::Role(wide), Matcher::Role(narrow))
        | (Matcher::Operation(wide), Matcher::Operation(narrow))
        | (Matcher::Document(wide), Matcher::Document(narrow)) => each(narrow, wide, Text::covers),
        (Matcher::User(wide), Matcher::User(narrow)) => each(narrow, wide, UserPattern::covers),
        (Matcher::Version(a, wide), Matcher::Version(b, narrow)) => {
            a == b && each(narrow, wide, VersionRange::covers)
        }
        (Matcher::Header(a, wide), Matcher::Header(b, narrow)) => {
            a == b && each(narrow, wide, Text::covers)
        }
        (Matcher::Cookie(a, wide), Matcher::Cookie(b, narrow))
        | (Matcher::Claim(a, wide), Matcher::Claim(b, narrow))
        | (Matcher::Query(a, wide), Matcher::Query(b, narrow)) => {
            a == b && each(narrow, wide, Text::covers)
        }
        _ => false,
    }
}

/// Whether each narrow value is covered by one of the wide ones.
fn each<T>(narrow: &[T], wide: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    narrow.iter().all(|n| wide.iter().any(|w| covers(w, n)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::HostPattern;

    fn path(text: &str) -> Matcher {
        Matcher::Path(vec![PathPattern::parse(text).expect("a path")])
    }

    fn host(text: &str) -> Matcher {
        Matcher::Host(vec![HostPattern::parse(text).expect("a host")])
    }

    fn header(texts: &[&str]) -> Matcher {
        let texts = texts.iter().map(|text| Text::parse(text).expect("a pattern"));
        Matcher::Header(http::HeaderName::from_static("x-app"), texts.collect())
    }

    fn client(text: &str) -> Matcher {
        Matcher::Client(vec![text.parse().expect("a network")])
    }

    fn rule(all: Vec<Matcher>, not: Vec<Matcher>) -> RuleSpec {
        RuleSpec { label: "".into(), line: 1, all, not }
    }

    fn all_covered(earlier: Vec<Matcher>, later: Vec<Matcher>) -> bool {
        let (earlier, later) = (rule(earlier, vec![]), rule(later, vec![]));
        let covered = covers(&earlier, &later);
        let may = Reach::of(&earlier).may_cover(Reach::of(&later));
        assert!(may || !covered, "{earlier:?} {later:?}");
        covered
    }

    #[test]
    fn a_wider_path_covers_a_narrower_one() {
        for (wide, narrow) in [
            ("/admin/**", "/admin/x"),
            ("/admin/**", "/admin"),
            ("/admin/**", "/admin/**"),
            ("/*/**", "/admin/x/**"),
            ("/**", "~x"),
            ("/shops/:id", "/shops/*"),
            ("/shops/:id", "/shops/1"),
        ] {
            assert!(all_covered(vec![path(wide)], vec![path(narrow)]), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("/admin", "/admin/**"),
            ("/admin/x", "/admin/*"),
            ("/admin/**", "/administrators"),
            ("/x", "/x.json"),
            ("/*", "/**"),
            ("~/a", "/a"),
        ] {
            assert!(!all_covered(vec![path(wide)], vec![path(narrow)]), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_list_of_paths_reaches_what_all_of_them_share() {
        let paths = |texts: &[&str]| {
            let parsed = texts.iter().map(|text| PathPattern::parse(text).expect("a path"));
            vec![Matcher::Path(parsed.collect())]
        };
        assert!(all_covered(paths(&["/a/**", "/b/**"]), paths(&["/b/x", "/a/y"])));
        assert!(all_covered(paths(&["/a/x", "/a/y"]), paths(&["/a/y"])));
        assert!(!all_covered(paths(&["/a/x"]), paths(&["/a/x", "/a/y"])));
        let reach = |texts: &[&str]| Reach::of(&rule(paths(texts), vec![]));
        assert!(!reach(&["/a/**"]).may_cover(reach(&["/b/x"])));
        assert!(!reach(&["/a/x"]).may_cover(reach(&["/a/y/**"])));
    }

    #[test]
    fn a_rule_that_asks_for_less_covers_one_that_asks_for_more() {
        let both = || vec![path("/api/**"), header(&["driver"])];
        assert!(all_covered(vec![path("/api/**")], both()));
        assert!(all_covered(vec![header(&["driver", "rider"])], both()));
        assert!(!all_covered(both(), vec![path("/api/**")]));
        assert!(!all_covered(vec![header(&["driver"])], vec![header(&["driver", "rider"])]));
        assert!(all_covered(vec![], both()), "a rule that asks nothing takes all");
    }

    #[test]
    fn a_network_and_a_host_cover_what_lies_within() {
        assert!(all_covered(vec![client("10.0.0.0/8")], vec![client("10.1.0.0/16")]));
        assert!(!all_covered(vec![client("10.1.0.0/16")], vec![client("10.0.0.0/8")]));
        assert!(all_covered(vec![host("*.example.com")], vec![host("a.example.com")]));
        assert!(!all_covered(vec![host("*.example.com")], vec![host("example.com")]));
    }

    #[test]
    fn what_the_earlier_rule_shuts_out_may_be_left_for_the_later() {
        let earlier = rule(vec![path("/**")], vec![path("/admin/**")]);
        assert!(!covers(&earlier, &rule(vec![path("/admin/x")], vec![])));
        assert!(covers(&earlier, &rule(vec![path("/x")], vec![path("/**")])));
        assert!(covers(&earlier, &rule(vec![path("/x")], vec![path("/admin/**")])));
    }
}
