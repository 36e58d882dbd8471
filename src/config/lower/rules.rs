//! Rules: matchers and how people read them.

use std::fmt::{self, Write as _};

use super::house::positive;
use crate::{
    classify::{Matcher, RuleSpec, Text, UserPattern, VersionRange, is_operation_name},
    config::{
        Overrides,
        document::{
            self, At, Many, Matchers, Named, OneOrMany, Pattern, Reader, Rule, Users, Wait,
            header_name, similar,
        },
        source::Span,
    },
    peer::Network,
    stride::pause,
};

/// A rule, and where it stands.
pub(crate) struct LoweredRule {
    pub(crate) spec: RuleSpec,
    pub(crate) span: Span,
    /// What differs for requests that it takes, and where that stands.
    pub(crate) timeouts: Option<(Overrides, Span)>,
}

/// The most values of a matcher, and the most rules of an `only`.
const VALUES_MAX: usize = 10_000;

/// Lowers a list of rules. One that says nothing is an error: it would match everything or nothing,
/// and nobody could tell which.
pub(super) fn lower(rules: &At<Many<Rule>>, empty: &str, reader: &mut Reader) -> Vec<LoweredRule> {
    if rules.value.empty {
        reader.error_with(rules.span, "an empty list of rules", empty);
    }
    rules.value.items.iter().filter_map(|rule| lower_rule(rule, reader)).collect()
}

fn lower_rule(rule: &At<Rule>, reader: &mut Reader) -> Option<LoweredRule> {
    pause();
    let mut list = MatcherList::default();
    list.add(&rule.value.matchers(), "", reader);
    let mut none = MatcherList::default();
    if let Some(not) = &rule.value.not {
        if not.value.empty {
            reader.error(not.span, "an empty list of matchers");
        }
        for not in &not.value.items {
            says_something(&not.value.written, not.span, reader);
            none.add(&not.value.matchers(), "not ", reader);
        }
    }
    let matchers: Vec<&str> =
        rule.value.written.iter().copied().filter(|key| *key != "timeouts").collect();
    says_something(&matchers, rule.span, reader);
    let nothing = list.matchers.is_empty() && none.matchers.is_empty();
    if nothing || list.unreadable || none.unreadable {
        return None;
    }
    if !none.label.is_empty() {
        list.say("", &none.label);
    }
    let spec = RuleSpec {
        label: list.label.into(),
        line: rule.span.line as usize,
        all: list.matchers,
        not: none.matchers,
    };
    let timeouts = rule.value.timeouts.as_ref();
    let timeouts = timeouts.map(|at| (overrides(at, reader), at.key));
    Some(LoweredRule { spec, span: rule.span, timeouts })
}

/// Lowers rules that only say yes or no: they have no requests of their own.
pub(super) fn lower_only(
    rules: &At<Many<Rule>>,
    empty: &str,
    reader: &mut Reader,
) -> Vec<LoweredRule> {
    let lowered = lower(rules, empty, reader);
    for (_, span) in lowered.iter().filter_map(|rule| rule.timeouts) {
        let message = "`timeouts` belong to the rules of a `match`, or to the audience";
        reader.error_with(span, message, "write them there");
    }
    lowered
}

/// Lowers what differs from the pool's timeouts.
pub(super) fn overrides(at: &At<document::Overrides>, reader: &mut Reader) -> Overrides {
    let mut wait =
        |at: &Option<At<Wait>>| at.as_ref().map(|at| positive(Some(at), at.value.0, reader));
    let written = &at.value;
    Overrides {
        connect: wait(&written.connect),
        queue: written.queue.as_ref().map(|at| at.value.0),
        first_byte: wait(&written.first_byte),
        between_bytes: wait(&written.between_bytes),
        total: wait(&written.total),
    }
}

fn says_something(written: &[&str], span: Span, reader: &mut Reader) {
    if written.is_empty() {
        let hint = "write for example `path: /admin/**`";
        reader.error_with(span, "there is no matcher here", hint);
    }
}

#[derive(Default)]
struct MatcherList {
    matchers: Vec<Matcher>,
    /// What they read like, with `and` between them.
    label: String,
    /// Whether something is missing that has been complained about.
    unreadable: bool,
}

// === impl MatcherList ===

impl MatcherList {
    fn add(&mut self, matchers: &Matchers<'_>, prefix: &str, reader: &mut Reader) {
        if let Some(at) = matchers.path {
            self.push(Matcher::Path(values(at, reader)), prefix, Label("path", &at.value));
        }
        if let Some(at) = matchers.host {
            self.push(Matcher::Host(values(at, reader)), prefix, Label("host", &at.value));
        }
        if let Some(at) = matchers.method {
            methods_are_upper_case(&at.value, reader);
            self.push(Matcher::Method(values(at, reader)), prefix, Label("method", &at.value));
        }
        if let Some(at) = matchers.header {
            self.headers(at, prefix, reader);
        }
        if let Some(at) = matchers.cookie {
            self.named(at, prefix, "cookie", Matcher::Cookie, reader);
        }
        if let Some(at) = matchers.query {
            self.named(at, prefix, "query", Matcher::Query, reader);
        }
        if let Some(at) = matchers.client {
            let networks: Vec<Network> = values(at, reader);
            self.push(Matcher::Client(networks), prefix, Label("client", &at.value));
        }
        if let Some(at) = matchers.subject {
            self.push(Matcher::Subject(values(at, reader)), prefix, Label("subject", &at.value));
        }
        if let Some(at) = matchers.version {
            self.version(at, prefix, reader);
        }
        self.identity(matchers, prefix, reader);
        self.graphql(matchers, prefix, reader);
    }

    /// What asks for the app's version. It is asked before anybody knows the audience.
    fn version(
        &mut self,
        at: &At<OneOrMany<Pattern<VersionRange>>>,
        prefix: &str,
        reader: &mut Reader,
    ) {
        let Some(sources) = reader.versions.clone() else {
            let message = "`version` never matches: nothing says where the version stands";
            let hint = "write `versions: { from: [{ header: X-App-Version }] }` at the top level";
            reader.error_with(at.key, message, hint);
            self.unreadable = true;
            return;
        };
        let ranges = values(at, reader);
        self.push(Matcher::Version(sources, ranges), prefix, Label("version", &at.value));
    }

    /// What asks who the user is. Where nothing can prove that, it protects nothing.
    fn identity(&mut self, matchers: &Matchers<'_>, prefix: &str, reader: &mut Reader) {
        let key = |name, span: Option<Span>| span.map(|span| (name, span));
        let keys = [
            key("user", matchers.user.map(|at| at.key)),
            key("role", matchers.role.map(|at| at.key)),
            key("claim", matchers.claim.map(|at| at.key)),
        ];
        let proved = reader.identifies;
        for (name, span) in keys.into_iter().flatten().filter(|_| !proved) {
            let message = format!("`{name}` never matches: nothing here can prove who asks");
            reader.error_with(span, message, "say under `identity:` what proves it");
        }
        if let Some(at) = matchers.user {
            let shown: Vec<String> = at.value.items.iter().map(|at| at.value.shown()).collect();
            let users = users(at, reader);
            self.unreadable |= users.len() < at.value.items.len();
            self.push(Matcher::User(users), prefix, format_args!("user {}", shown.join(" or ")));
        }
        if let Some(at) = matchers.role {
            self.push(Matcher::Role(values(at, reader)), prefix, Label("role", &at.value));
        }
        if let Some(at) = matchers.claim {
            self.named(at, prefix, "claim", Matcher::Claim, reader);
        }
    }

    /// Both conditions are required where both are written.
    fn graphql(&mut self, matchers: &Matchers<'_>, prefix: &str, reader: &mut Reader) {
        let Some(at) = matchers.graphql else { return };
        if at.value.written.is_empty() {
            reader.error_with(at.span, "nothing is asked here", "write `{ operation: NAME }`");
            self.unreadable = true;
        }
        if let Some(at) = &at.value.operation {
            operations_can_be_called_so(&at.value, reader);
            let label = Label("graphql operation", &at.value);
            self.push(Matcher::Operation(values(at, reader)), prefix, label);
        }
        if let Some(at) = &at.value.id {
            let label = Label("graphql id", &at.value);
            self.push(Matcher::Document(values(at, reader)), prefix, label);
        }
    }

    fn headers(
        &mut self,
        at: &At<Named<OneOrMany<Pattern<Text>>>>,
        prefix: &str,
        reader: &mut Reader,
    ) {
        names_are_there(at, reader);
        for (name, patterns) in &at.value.entries {
            let Some(header) = header_name(&name.value) else {
                let message = format!("`{}` is not the name of a header", name.value);
                reader.error(name.span, message);
                self.unreadable = true;
                continue;
            };
            if name.value.contains('_') {
                let message = format!("a header with `_` never arrives: `{}`", name.value);
                let hint = "usher drops such names, because Rack takes them for those with `-`";
                reader.warn(name.span, message, hint);
            }
            let texts = texts(patterns, name.span, reader);
            let label = format_args!("header {}: {}", name.value, Shown(patterns));
            self.push(Matcher::Header(header, texts), prefix, label);
        }
    }

    fn named(
        &mut self,
        at: &At<Named<OneOrMany<Pattern<Text>>>>,
        prefix: &str,
        what: &str,
        matcher: fn(String, Vec<Text>) -> Matcher,
        reader: &mut Reader,
    ) {
        names_are_there(at, reader);
        for (name, patterns) in &at.value.entries {
            if name.value.is_empty() {
                reader.error(name.span, format!("a {what} without a name"));
                self.unreadable = true;
                continue;
            }
            let texts = texts(patterns, name.span, reader);
            let label = format_args!("{what} {}: {}", name.value, Shown(patterns));
            self.push(matcher(name.value.clone(), texts), prefix, label);
        }
    }

    fn push(&mut self, matcher: Matcher, prefix: &str, label: impl fmt::Display) {
        self.unreadable |= matcher_is_empty(&matcher);
        self.matchers.push(matcher);
        self.say(prefix, label);
    }

    fn say(&mut self, prefix: &str, label: impl fmt::Display) {
        let and = if self.label.is_empty() { "" } else { " and " };
        // Writing into a text cannot fail.
        let _ = write!(self.label, "{and}{prefix}{label}");
    }
}

fn matcher_is_empty(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Path(values) => values.is_empty(),
        Matcher::Host(values) => values.is_empty(),
        Matcher::Client(values) => values.is_empty(),
        Matcher::User(values) => values.is_empty(),
        Matcher::Version(_, values) => values.is_empty(),
        Matcher::Method(values)
        | Matcher::Subject(values)
        | Matcher::Role(values)
        | Matcher::Claim(_, values)
        | Matcher::Header(_, values)
        | Matcher::Cookie(_, values)
        | Matcher::Query(_, values)
        | Matcher::Operation(values)
        | Matcher::Document(values) => values.is_empty(),
    }
}

/// Users, each as a pattern, or out of a table that is there.
fn users(at: &At<OneOrMany<Users>>, reader: &mut Reader) -> Vec<UserPattern> {
    if at.value.empty {
        reader.error(at.span, "an empty list of values, which nothing can match");
    }
    super::bounded(at.value.items.len(), VALUES_MAX, "values", at.span, reader);
    let user = |at: &At<Users>| match &at.value {
        Users::Text(pattern) => Some(UserPattern::Text(pattern.pattern.clone())),
        Users::Listed(listed) => {
            let table = listed.table.as_ref()?;
            let name = &table.value.name;
            let known = reader.tables.iter().find(|(known, _)| known == name);
            let Some((_, found)) = known else {
                let names = reader.tables.iter().map(|(name, _)| name.as_str());
                let message = match similar(name.as_str(), names) {
                    Some(similar) => {
                        format!("there is no table `{name}`, did you mean `{similar}`?")
                    }
                    None => format!("there is no table `{name}`"),
                };
                reader.error_with(table.span, message, "add it under `tables:`, as `NAME: FILE`");
                return None;
            };
            let value = listed.value.as_ref().map(|value| value.value.0.as_str().into());
            Some(UserPattern::Listed { name: name.clone(), value, table: found.clone() })
        }
    };
    at.value.items.iter().filter_map(user).collect()
}

fn values<P: Clone>(at: &At<OneOrMany<Pattern<P>>>, reader: &mut Reader) -> Vec<P> {
    collect(&at.value, at.span, reader)
}

fn texts(patterns: &OneOrMany<Pattern<Text>>, span: Span, reader: &mut Reader) -> Vec<Text> {
    collect(patterns, span, reader)
}

fn collect<P: Clone>(patterns: &OneOrMany<Pattern<P>>, span: Span, reader: &mut Reader) -> Vec<P> {
    if patterns.empty {
        reader.error(span, "an empty list of values, which nothing can match");
    }
    super::bounded(patterns.items.len(), VALUES_MAX, "values", span, reader);
    patterns.items.iter().map(|at| at.value.pattern.clone()).collect()
}

fn names_are_there(at: &At<Named<OneOrMany<Pattern<Text>>>>, reader: &mut Reader) {
    if at.value.empty {
        reader.error_with(at.span, "no name is given here", "write `{ NAME: VALUE }`");
    }
}

fn methods_are_upper_case(methods: &OneOrMany<Pattern<Text>>, reader: &mut Reader) {
    for at in &methods.items {
        let shown = &at.value.shown;
        if !shown.starts_with('~') && shown.bytes().any(|b| b.is_ascii_lowercase()) {
            let message = format!("no client sends the method `{shown}`");
            let hint = format!("methods are upper-case: `{}`", shown.to_ascii_uppercase());
            reader.warn(at.span, message, hint);
        }
    }
}

fn operations_can_be_called_so(operations: &OneOrMany<Pattern<Text>>, reader: &mut Reader) {
    for at in &operations.items {
        if let Text::Exact(name) = &at.value.pattern
            && !is_operation_name(name)
        {
            let message = format!("no operation can be called `{}`", at.value.shown);
            let hint = "names hold letters, digits and `_`, and begin with no digit";
            reader.warn(at.span, message, hint);
        }
    }
}

/// A condition as it was written.
struct Label<'a, P>(&'a str, &'a OneOrMany<Pattern<P>>);

impl<P> fmt::Display for Label<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, Shown(self.1))
    }
}

/// Patterns as they were written, with `or` between them.
struct Shown<'a, P>(&'a OneOrMany<Pattern<P>>);

impl<P> fmt::Display for Shown<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, at) in self.0.items.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            f.write_str(&at.value.shown)?;
        }
        Ok(())
    }
}
