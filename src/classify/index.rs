//! The rules of all audiences, compiled.
//!
//! Every rule is filed under one of its conditions, the one that the fewest other rules share: its
//! path patterns or hosts in a tree, the values of a header, a cookie or a parameter in a hash map.
//! What no index can hold (regular expressions, globs, networks, methods, `not` alone) is residual
//! and tried in turn.
//!
//! **Invariant:** the answer is that of trying all rules in file order. Rules are numbered in that
//! order; whatever order the indexes yield them in, the lowest number that matches wins, and a rule
//! numbered above the best found so far is not even looked at.

use std::hash::BuildHasher as _;

use http::HeaderName;
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;

use super::{
    Facts, HostPattern, Matcher, PathPattern, PathView, RuleSpec, Subject, Text, UserPattern,
    pattern::End,
    trie::{Bucket, Grammar, Key, Trie},
};
use crate::stride::{let_go, pause};

/// The rules of all audiences, compiled for lookup.
#[derive(Debug)]
pub struct Classifier {
    rules: Vec<Compiled>,
    paths: Trie,
    hosts: Trie,
    headers: Vec<Values<HeaderName>>,
    cookies: Vec<Values<String>>,
    queries: Vec<Values<String>>,
    /// At most one: a request has one user.
    users: Vec<Values<()>>,
    /// At most one of each, too.
    operations: Vec<Values<()>>,
    documents: Vec<Values<()>>,
    residual: Bucket,
}

/// Which audience takes a request, because of which of its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The audience, counted in file order.
    pub audience: usize,
    /// Its rule, counted in file order; none for an audience that takes all that is left.
    pub rule: Option<usize>,
}

/// A rule without the condition that it is filed under: what remains to be asked.
#[derive(Debug)]
struct Compiled {
    choice: Choice,
    all: Vec<Matcher>,
    not: Vec<Matcher>,
}

/// The rules filed under exact values of one header, cookie or parameter.
#[derive(Debug)]
struct Values<N> {
    name: N,
    least: u32,
    buckets: FxHashMap<Key, Bucket>,
}

/// The search for the lowest number that matches.
struct Search<'a> {
    rules: &'a [Compiled],
    subject: &'a Subject<'a>,
    best: u32,
}

/// How many rules hold each value, by condition and value.
///
/// Values are known by their hashes: two that share one are counted together, and no more than the
/// choice of a condition hangs on that.
struct Crowds(FxHashMap<u64, usize>);

const NOBODY: u32 = u32::MAX;

// === impl Classifier ===

impl Classifier {
    /// Compiles the rules of all audiences, in file order. An audience without rules takes all
    /// that is left.
    pub fn new(audiences: &[impl AsRef<[RuleSpec]>]) -> Self {
        let mut index = Self {
            rules: Vec::new(),
            paths: Trie::new(Grammar::Path),
            hosts: Trie::new(Grammar::Host),
            headers: Vec::new(),
            cookies: Vec::new(),
            queries: Vec::new(),
            users: Vec::new(),
            operations: Vec::new(),
            documents: Vec::new(),
            residual: Bucket::new(),
        };
        let crowds = Crowds::of(audiences);
        // What grows while it is filled is copied again and again, each time without a pause.
        let rules = audiences.iter().map(|rules| rules.as_ref().len().max(1)).sum();
        index.rules.reserve_exact(rules);
        index.paths.reserve(rules);
        for (audience, rules) in audiences.iter().map(AsRef::as_ref).enumerate() {
            for (rule, spec) in rules.iter().enumerate() {
                index.file(Choice { audience, rule: Some(rule) }, spec, &crowds);
            }
            if rules.is_empty() {
                let choice = Choice { audience, rule: None };
                index.residual.push(index.number());
                index.rules.push(Compiled { choice, all: Vec::new(), not: Vec::new() });
            }
        }
        index
    }

    /// The first audience in file order with a rule that matches; none only when no audience takes
    /// all that is left.
    pub fn classify(&self, facts: &Facts<'_>, path: &PathView<'_>) -> Option<Choice> {
        let subject = Subject::new(facts, path);
        let mut search = Search { rules: &self.rules, subject: &subject, best: NOBODY };
        self.paths.find(subject.path().tail(), &mut |rules| search.among(rules));
        if !self.hosts.is_empty() {
            self.hosts.find(Some(subject.host()), &mut |rules| search.among(rules));
        }
        for values in &self.headers {
            search.under(values, |name| subject.header(name));
        }
        for values in &self.cookies {
            search.under(values, |name| subject.cookie(name));
        }
        for values in &self.queries {
            search.under(values, |name| subject.parameter(name));
        }
        for values in &self.users {
            search.under(values, |()| subject.user());
        }
        for values in &self.operations {
            search.under(values, |()| subject.operation());
        }
        for values in &self.documents {
            search.under(values, |()| subject.document());
        }
        search.among(&self.residual);
        self.rules.get(search.best as usize).map(|rule| rule.choice)
    }

    /// Lets go of it in strides.
    pub fn let_go(self) {
        let Self { rules, paths, hosts, .. } = self;
        let_go(rules);
        paths.let_go();
        hosts.let_go();
    }

    fn number(&self) -> u32 {
        u32::try_from(self.rules.len()).expect("fewer rules than bytes of a file")
    }

    fn file(&mut self, choice: Choice, spec: &RuleSpec, crowds: &Crowds) {
        pause();
        let number = self.number();
        let filed = crowds.least_shared(&spec.all);
        let others = spec.all.iter().enumerate().filter(|(at, _)| Some(*at) != filed);
        let all = others.map(|(_, matcher)| matcher.clone()).collect();
        match filed.map(|at| &spec.all[at]) {
            Some(Matcher::Path(patterns)) => self.file_paths(patterns, number),
            Some(Matcher::Host(patterns)) => self.file_hosts(patterns, number),
            Some(Matcher::Header(name, texts)) => {
                Values::file(&mut self.headers, name, texts.iter(), number)
            }
            Some(Matcher::Cookie(name, texts)) => {
                Values::file(&mut self.cookies, name, texts.iter(), number)
            }
            Some(Matcher::Query(name, texts)) => {
                Values::file(&mut self.queries, name, texts.iter(), number)
            }
            Some(Matcher::User(patterns)) => {
                Values::file(&mut self.users, &(), user_texts(patterns), number)
            }
            Some(Matcher::Operation(texts)) => {
                Values::file(&mut self.operations, &(), texts.iter(), number)
            }
            Some(Matcher::Document(texts)) => {
                Values::file(&mut self.documents, &(), texts.iter(), number)
            }
            Some(
                Matcher::Method(_)
                | Matcher::Client(_)
                | Matcher::Subject(_)
                | Matcher::Role(_)
                | Matcher::Claim(..)
                | Matcher::Version(..),
            )
            | None => self.residual.push(number),
        }
        self.rules.push(Compiled { choice, all, not: spec.not.clone() });
    }

    fn file_paths(&mut self, patterns: &[PathPattern], number: u32) {
        for segments in patterns.iter().filter_map(PathPattern::segments) {
            self.paths.insert(&segments.parts, segments.end, number);
        }
    }

    fn file_hosts(&mut self, patterns: &[HostPattern], number: u32) {
        for labels in patterns.iter().filter_map(HostPattern::labels) {
            self.hosts.insert(labels, End::Here, number);
        }
    }
}

// === impl Values ===

impl<N: PartialEq + Clone> Values<N> {
    fn file<'a>(
        fields: &mut Vec<Self>,
        name: &N,
        texts: impl Iterator<Item = &'a Text>,
        number: u32,
    ) {
        let at = fields.iter().position(|field| field.name == *name).unwrap_or_else(|| {
            fields.push(Self { name: name.clone(), least: number, buckets: FxHashMap::default() });
            fields.len() - 1
        });
        for text in texts {
            if let Text::Exact(value) = text {
                fields[at].buckets.entry(value.as_bytes().into()).or_default().push(number);
            }
        }
    }
}

// === impl Search ===

impl Search<'_> {
    /// Tries rules in rising order, up to the best found so far.
    fn among(&mut self, rules: &[u32]) {
        for &number in rules {
            if number >= self.best {
                return;
            }
            let rule = &self.rules[number as usize];
            if self.subject.satisfies(&rule.all, &rule.not) {
                self.best = number;
                return;
            }
        }
    }

    fn under<N, V: AsRef<[u8]>>(&mut self, values: &Values<N>, read: impl Fn(&N) -> Option<V>) {
        if values.least < self.best
            && let Some(value) = read(&values.name)
            && let Some(rules) = values.buckets.get(value.as_ref())
        {
            self.among(rules);
        }
    }
}

// === impl Crowds ===

impl Crowds {
    fn of(audiences: &[impl AsRef<[RuleSpec]>]) -> Self {
        let rules = audiences.iter().map(|rules| rules.as_ref().len()).sum();
        let mut crowds = FxHashMap::with_capacity_and_hasher(rules, FxBuildHasher);
        let rules = audiences.iter().flat_map(AsRef::as_ref);
        for matcher in rules.flat_map(|rule: &RuleSpec| &rule.all) {
            pause();
            for key in keys(matcher).into_iter().flatten() {
                *crowds.entry(key).or_default() += 1;
            }
        }
        Self(crowds)
    }

    /// Where the condition stands that can be filed and has the fewest rules beside it.
    fn least_shared(&self, all: &[Matcher]) -> Option<usize> {
        let crowd = |matcher| {
            let counts = keys(matcher)?.into_iter().map(|key| self.0.get(&key).copied());
            counts.flatten().max()
        };
        let filed = all.iter().enumerate().filter_map(|(at, matcher)| Some((crowd(matcher)?, at)));
        filed.min().map(|(_, at)| at)
    }
}

/// What a condition would be filed under; none when an index cannot hold all of it.
fn keys(matcher: &Matcher) -> Option<SmallVec<[u64; 2]>> {
    let exact = |kind: &str, name: &str, text: &Text| match text {
        Text::Exact(value) => Some(FxBuildHasher.hash_one((kind, name, value))),
        Text::Glob(_) | Text::Regex(_) => None,
    };
    match matcher {
        Matcher::Path(patterns) => {
            let key = |p: &PathPattern| Some(FxBuildHasher.hash_one(("path", p.segments()?)));
            patterns.iter().map(key).collect()
        }
        Matcher::Host(patterns) => {
            let key = |p: &HostPattern| Some(FxBuildHasher.hash_one(("host", p.labels()?)));
            patterns.iter().map(key).collect()
        }
        Matcher::Header(name, texts) => {
            texts.iter().map(|text| exact("header", name.as_str(), text)).collect()
        }
        Matcher::Cookie(name, texts) => {
            texts.iter().map(|text| exact("cookie", name, text)).collect()
        }
        Matcher::Query(name, texts) => {
            texts.iter().map(|text| exact("query", name, text)).collect()
        }
        Matcher::Operation(texts) => {
            texts.iter().map(|text| exact("operation", "", text)).collect()
        }
        Matcher::Document(texts) => texts.iter().map(|text| exact("document", "", text)).collect(),
        Matcher::User(patterns) => {
            let key = |pattern: &UserPattern| match pattern {
                UserPattern::Text(text) => exact("user", "", text),
                UserPattern::Listed { .. } => None,
            };
            patterns.iter().map(key).collect()
        }
        Matcher::Method(_)
        | Matcher::Client(_)
        | Matcher::Subject(_)
        | Matcher::Role(_)
        | Matcher::Claim(..)
        | Matcher::Version(..) => None,
    }
}

/// The patterns over users that are texts.
fn user_texts(patterns: &[UserPattern]) -> impl Iterator<Item = &Text> {
    patterns.iter().filter_map(|pattern| match pattern {
        UserPattern::Text(text) => Some(text),
        UserPattern::Listed { .. } => None,
    })
}
