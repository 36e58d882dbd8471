//! Which of an audience's objectives speak about a request, worked out once when it is decided.

use crate::{
    classify::{Facts, PathSet, PathView, RuleSpec, any_matches},
    config::Objective,
};

/// The scopes of an audience's objectives. Without objectives, looking costs a comparison.
#[derive(Debug, Default)]
pub struct Scopes {
    /// Objectives about all requests.
    whole: u32,
    /// Each objective with `only`, and its rules.
    scoped: Box<[(u32, Box<[RuleSpec]>)]>,
    /// Paths that are not counted, and the objectives that say so.
    excluded: Box<[(u32, PathSet)]>,
}

/// A set of objectives, by their places among an audience's. There are at most 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken(u32);

// === impl Scopes ===

impl Scopes {
    /// The scopes of `objectives`.
    pub fn new(objectives: &[Objective]) -> Self {
        let (mut whole, mut scoped) = (0, Vec::new());
        let mut excluded: Vec<(u32, PathSet)> = Vec::new();
        for (index, objective) in objectives.iter().enumerate() {
            let bit = Spoken::bit(index);
            if objective.only.is_empty() {
                whole |= bit;
            } else {
                scoped.push((bit, objective.only.as_slice().into()));
            }
            let texts = |set: &[crate::classify::PathPattern]| -> Vec<String> {
                set.iter().map(ToString::to_string).collect()
            };
            let alike =
                |(_, set): &&mut (u32, PathSet)| texts(set.patterns()) == texts(&objective.exclude);
            match excluded.iter_mut().find(alike) {
                Some((bits, _)) => *bits |= bit,
                None if objective.exclude.is_empty() => {}
                None => excluded.push((bit, PathSet::new(&objective.exclude))),
            }
        }
        Self { whole, scoped: scoped.into(), excluded: excluded.into() }
    }

    /// The objectives that speak about the request with these facts.
    pub(super) fn of(&self, facts: &Facts<'_>, path: &PathView<'_>) -> Spoken {
        let mut spoken = self.whole;
        for (bit, only) in &self.scoped {
            if any_matches(only, facts, path) {
                spoken |= bit;
            }
        }
        for (bits, paths) in &self.excluded {
            if spoken & bits != 0 && paths.takes(path) {
                spoken &= !bits;
            }
        }
        Spoken(spoken)
    }
}

// === impl Spoken ===

impl Spoken {
    /// Whether the objective at `index` is among them.
    pub fn contains(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bit(index: usize) -> u32 {
        u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::config::{LoadOptions, parse_text};

    const AUDIENCE: &str = "listeners: [{ bind: 127.0.0.1:0 }]\n\
        pools: { rails: { endpoints: [127.0.0.1:1], capacity: 1 } }\n\
        audiences:\n\
        - name: everyone\n  \
          pool: rails\n  \
          slo:\n  \
          - { availability: 99.9% }\n  \
          - { name: order, only: [{ method: POST, path: /orders }], availability: 99.95% }\n  \
          - { name: all, exclude: off, availability: 99% }\n  \
          - { name: pages, exclude: [/api/**, /up], availability: 99% }\n";

    fn spoken(method: &Method, path: &str) -> [bool; 4] {
        let parsed = parse_text("test.yaml", AUDIENCE, &LoadOptions::default());
        let (config, _) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        let scopes = Scopes::new(&config.audiences[0].objectives);
        let facts = Facts {
            method,
            path,
            query: None,
            host: "shop.example",
            headers: &HeaderMap::new(),
            client: std::net::IpAddr::from(Ipv4Addr::LOCALHOST).into(),
            subject: None,
            identity: None,
            operation: None,
        };
        let spoken = scopes.of(&facts, &PathView::of(path).expect("a path"));
        std::array::from_fn(|index| spoken.contains(index))
    }

    #[test]
    fn an_objective_speaks_about_its_scope_without_what_it_excludes() {
        assert_eq!(spoken(&Method::GET, "/menu"), [true, false, true, true]);
        assert_eq!(spoken(&Method::POST, "/orders"), [true, true, true, true]);
        assert_eq!(spoken(&Method::GET, "/orders"), [true, false, true, true]);
        assert_eq!(spoken(&Method::GET, "/up"), [false, false, true, false]);
        assert_eq!(spoken(&Method::GET, "/assets/app.css"), [false, false, true, true]);
        assert_eq!(spoken(&Method::GET, "/api/menu"), [true, false, true, false]);
    }

    #[test]
    fn without_objectives_none_speaks() {
        let scopes = Scopes::new(&[]);
        assert_eq!((scopes.whole, scopes.scoped.len(), scopes.excluded.len()), (0, 0, 0));
    }
}
