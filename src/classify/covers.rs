//! Whether one rule leaves anything to another.

use super::{Matcher, RuleSpec, Text, UserPattern, VersionRange};

/// Whether every request that `later` takes is taken by `earlier`, so that `later` can never match
/// behind it. True only when that is certain; patterns are compared, not all requests tried.
pub fn covers(earlier: &RuleSpec, later: &RuleSpec) -> bool {
    // What `earlier` asks, `later` must ask as strictly; what it shuts out, `later` must, too.
    let asked = |wide: &Matcher| later.all.iter().any(|narrow| takes_in(wide, narrow));
    let shut_out = |narrow: &Matcher| later.not.iter().any(|wide| takes_in(wide, narrow));
    earlier.all.iter().all(asked) && earlier.not.iter().all(shut_out)
}

/// Whether `wide` holds wherever `narrow` does.
fn takes_in(wide: &Matcher, narrow: &Matcher) -> bool {
    match (wide, narrow) {
        (Matcher::Path(wide), Matcher::Path(narrow)) => each(narrow, wide, |w, n| w.covers(n)),
        (Matcher::Host(wide), Matcher::Host(narrow)) => each(narrow, wide, |w, n| w.covers(n)),
        (Matcher::Client(wide), Matcher::Client(narrow)) => {
            each(narrow, wide, |w, n| w.contains(n))
        }
        (Matcher::Method(wide), Matcher::Method(narrow))
        | (Matcher::Subject(wide), Matcher::Subject(narrow))
        | (Matcher::Role(wide), Matcher::Role(narrow)) => each(narrow, wide, Text::covers),
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
    use crate::classify::{HostPattern, PathPattern};

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
        covers(&rule(earlier, vec![]), &rule(later, vec![]))
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
