//! What becomes of a request, and why.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use serde::Serialize;

use super::{
    asked::Asked,
    identity::{IdentityView, identify},
    operation::operation,
    version::{AppVersionView, version},
};
use crate::{
    classify::{
        Classifier, Facts, Identity, Matcher, PathView, RuleSpec, Step, any_lacks_identity,
        any_matches, trace, unverified,
    },
    config::{Audience, Config, Fallback, Objective, Overrides, Pool},
    fault::Fault,
    peer::Client,
    policy::rate::Limits,
    proxy::Visitor,
    units::format_duration,
};

/// What becomes of a request, and why. The same functions decide that decide in `usher run`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// 400 or 403 when the request is refused by usher itself.
    pub status: Option<u16>,
    /// The fault's public name when it is refused.
    pub fault: Option<&'static str>,
    /// Why it is refused.
    pub refusal: Option<String>,
    /// The path as Rails will see it, unless it is refused.
    pub path: Option<String>,
    /// What it proves of who asks; none where nothing is configured that could be proved.
    pub identity: Option<IdentityView>,
    /// The GraphQL operation, or the id of a document; none where no rule asks for it.
    pub operation: Option<String>,
    /// Who it is for.
    pub audience: Option<String>,
    /// Because of which rule; none for an audience that takes all that is left.
    pub rule: Option<RuleView>,
    /// Which version of an app asks, where the audience wants to know, and what that means.
    pub app_version: Option<AppVersionView>,
    /// Where it goes unless it is refused.
    pub pool: Option<PoolView>,
    /// Where it goes when that pool cannot take it.
    pub fallback: Option<String>,
    /// How often such requests may come, where that is limited.
    pub limits: Vec<String>,
    /// The promises about it.
    pub promises: Vec<String>,
    /// What else to know.
    pub notes: Vec<String>,
    /// Every rule that was tried, in file order.
    pub trace: Vec<StepView>,
}

/// A rule, for people.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// As it was written.
    pub label: String,
    /// The line where it stands.
    pub line: usize,
    /// Whether any client can claim to be meant by it.
    pub unverified: bool,
}

/// A pool and how long it may take.
#[derive(Clone, Debug, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// `timeouts.connect`.
    pub connect: String,
    /// `timeouts.first_byte`.
    pub first_byte: String,
    /// `timeouts.between_bytes`.
    pub between_bytes: String,
    /// `timeouts.total`.
    pub total: String,
}

/// One rule that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    /// The rule's audience.
    pub audience: String,
    /// The rule as it was written; none for an audience that takes all that is left.
    pub rule: Option<String>,
    /// The line where it stands.
    pub line: Option<usize>,
    /// Why it did not match; none when it did.
    pub miss: Option<String>,
}

/// Explains what `config` makes of `asked` when it comes from `client`, who
/// showed a certificate of `subject`.
pub fn explain(
    config: &Config,
    asked: &Asked,
    client: Client,
    subject: Option<&str>,
) -> Explanation {
    let proved = config.identity.as_ref().map(|it| identify(it, asked, subject));
    let mut facts = Facts {
        method: &asked.method,
        path: &asked.path,
        query: asked.query.as_deref(),
        host: &asked.host,
        headers: &asked.headers,
        client,
        subject,
        identity: proved.as_ref().and_then(|(_, found)| found.identity.as_deref()),
        operation: None,
    };
    let mut explanation = Explanation::empty(asked.notes.clone());
    let found = operation(config, asked, &facts);
    if let Some((operation, note)) = &found {
        explanation.operation = operation.shown().map(str::to_owned);
        explanation.notes.extend(note.clone());
        facts.operation = Some(operation);
    }
    explanation.identity = proved.as_ref().map(|(view, _)| view.clone());
    let refused = proved.as_ref().is_some_and(|(_, found)| found.refused);
    match PathView::of(facts.path) {
        Ok(path) => {
            explanation.decide(config, &facts, &path, refused);
            let identity = proved.as_ref().and_then(|(_, found)| found.identity.as_ref());
            explanation.known_again(config, asked, identity);
        }
        Err(problem) => explanation.refuse(Fault::AmbiguousPath, problem.to_string()),
    }
    explanation.notes.extend(method_note(asked));
    explanation.notes.extend(escape_note(asked));
    explanation
}

// === impl Explanation ===

impl Explanation {
    fn empty(notes: Vec<String>) -> Self {
        Self {
            status: None,
            fault: None,
            refusal: None,
            path: None,
            identity: None,
            operation: None,
            audience: None,
            rule: None,
            app_version: None,
            pool: None,
            fallback: None,
            limits: Vec::new(),
            promises: Vec::new(),
            notes,
            trace: Vec::new(),
        }
    }

    fn decide(&mut self, config: &Config, facts: &Facts<'_>, path: &PathView<'_>, refused: bool) {
        let rules: Vec<Vec<RuleSpec>> = config.audiences.iter().map(|a| a.rules.clone()).collect();
        self.path = Some(path.as_str().to_owned());
        let steps = trace(&rules, facts, path);
        self.trace = steps.iter().map(|step| StepView::of(step, config)).collect();
        let Some(choice) = Classifier::new(&rules).classify(facts, path) else { return };
        let audience = &config.audiences[choice.audience];
        self.audience = Some(audience.name.to_string());
        self.rule = choice.rule.map(|rule| RuleView::of(&audience.rules[rule]));
        if refused {
            let why = "the source of this identity refuses what is invalid";
            return self.refuse(Fault::InvalidIdentity, why.to_owned());
        }
        if !audience.only.is_empty() && !any_matches(&audience.only, facts, path) {
            let lacks = any_lacks_identity(&audience.only, facts, path);
            let fault = if lacks { Fault::Unidentified } else { Fault::NotAdmitted };
            return self.refuse(fault, not_admitted(audience));
        }
        let own =
            choice.rule.and_then(|rule| audience.rule_timeouts.iter().find(|it| it.0 == rule));
        let own = own.map(|(_, overrides)| *overrides).unwrap_or_default();
        let overrides = own.or(audience.timeouts);
        let pool = config.pools.iter().find(|p| p.name == audience.pool);
        self.pool = pool.map(|pool| PoolView::of(pool, overrides));
        self.fallback = audience.fallback.as_ref().map(|Fallback { pool, share }| {
            format!("{pool}, up to {share} of its slots, when {} cannot take it", audience.pool)
        });
        self.app_version = version(config, audience, facts, path);
        self.limits = limits(audience, facts.client);
        let about = |o: &&Objective| o.only.is_empty() || any_matches(&o.only, facts, path);
        self.promises = audience.objectives.iter().filter(about).flat_map(promises).collect();
    }

    /// By what its client is known again, in audiences of which something asks that.
    fn known_again(&mut self, config: &Config, asked: &Asked, identity: Option<&Arc<Identity>>) {
        let audience =
            config.audiences.iter().find(|it| Some(it.name.as_str()) == self.audience.as_deref());
        if !audience.is_some_and(|audience| config.is_sticky(audience)) {
            return;
        }
        self.notes.push(match Visitor::of(identity, &asked.headers, &config.sticky) {
            Some(Visitor::User(_)) => "known again by its user".to_owned(),
            Some(Visitor::Said(_)) => "known again by what its device or cookie says".to_owned(),
            Some(Visitor::New(_)) => "known by nothing yet: it is told a cookie".to_owned(),
            None => "known again by nothing".to_owned(),
        });
    }

    fn refuse(&mut self, fault: Fault, why: String) {
        self.status = Some(fault.status().as_u16());
        self.fault = Some(fault.name());
        self.refusal = Some(why);
    }

    /// The verdict in three lines, then the notes.
    pub fn verdict(&self) -> String {
        let mut lines = vec![self.who()];
        lines.extend(self.identity.as_ref().map(|identity| format!("identity: {identity}")));
        lines.extend(self.operation.as_ref().map(|operation| format!("operation: {operation}")));
        if let (Some(status), Some(fault), Some(why)) = (self.status, self.fault, &self.refusal) {
            lines.push(format!("refused: {status} {fault}: {why}"));
        }
        if let Some(pool) = &self.pool {
            lines.push(format!("pool: {pool}"));
            let promises = match self.promises.as_slice() {
                [] => "none".to_owned(),
                promises => promises.join("; "),
            };
            lines.extend(self.fallback.iter().map(|fallback| format!("fallback: {fallback}")));
            lines.push(format!("promise: {promises}"));
            lines.extend(self.app_version.iter().map(|version| format!("app version: {version}")));
            lines.extend(self.limits.iter().map(|limit| format!("limit: {limit}")));
        }
        if self.rule.as_ref().is_some_and(|rule| rule.unverified) {
            lines.push("unverified: any client can claim this".to_owned());
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.join("\n")
    }

    /// Every rule that was tried, with the path that it was tried on.
    pub fn tried(&self) -> String {
        let path = self.path.iter().map(|path| format!("path as Rails sees it: {path}"));
        path.chain(self.trace.iter().map(StepView::to_string)).collect::<Vec<_>>().join("\n")
    }

    fn who(&self) -> String {
        match (&self.audience, &self.rule) {
            (Some(audience), Some(rule)) => {
                format!("audience: {audience}, because of {} (line {})", rule.label, rule.line)
            }
            (Some(audience), None) => {
                format!("audience: {audience}, because it takes what no rule takes")
            }
            (None, _) => "audience: none".to_owned(),
        }
    }
}

// === impl RuleView ===

impl RuleView {
    fn of(rule: &RuleSpec) -> Self {
        Self { label: rule.label.to_string(), line: rule.line, unverified: unverified(rule) }
    }
}

// === impl PoolView ===

impl PoolView {
    fn of(pool: &Pool, overrides: Overrides) -> Self {
        let timeouts = overrides.over(pool.timeouts);
        Self {
            name: pool.name.to_string(),
            connect: format_duration(timeouts.connect),
            first_byte: format_duration(timeouts.first_byte),
            between_bytes: format_duration(timeouts.between_bytes),
            total: format_duration(timeouts.total),
        }
    }
}

impl fmt::Display for PoolView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, connect, first_byte, between_bytes, total } = self;
        write!(f, "{name}; connect {connect}, first byte {first_byte}, ")?;
        write!(f, "between bytes {between_bytes}, total {total}")
    }
}

// === impl StepView ===

impl StepView {
    fn of(step: &Step, config: &Config) -> Self {
        let audience = &config.audiences[step.audience];
        let rule = step.rule.map(|rule| &audience.rules[rule]);
        Self {
            audience: audience.name.to_string(),
            rule: rule.map(|rule| rule.label.to_string()),
            line: rule.map(|rule| rule.line),
            miss: step.miss.as_ref().map(ToString::to_string),
        }
    }
}

impl fmt::Display for StepView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.miss.is_none() { '+' } else { '-' };
        write!(f, "  {mark} {}", self.audience)?;
        match (&self.rule, self.line) {
            (Some(rule), Some(line)) => write!(f, ", line {line}: {rule}")?,
            (_, _) => f.write_str(": takes all that is left")?,
        }
        match &self.miss {
            Some(miss) => write!(f, "\n      {miss}"),
            None => Ok(()),
        }
    }
}

/// Whether any rule of `config`, or any share of clients, asks who the client is.
pub(super) fn asks_for_client(config: &Config) -> bool {
    let rules = config.audiences.iter().flat_map(|a| a.rules.iter().chain(&a.only));
    let mut matchers = rules.flat_map(|rule| rule.all.iter().chain(&rule.not));
    let mut policies = config.audiences.iter().filter_map(|it| Some(&it.versions.as_ref()?.policy));
    matchers.any(|matcher| matches!(matcher, Matcher::Client(_)))
        || policies.any(|policy| policy.brownout.is_some())
}

fn not_admitted(audience: &Audience) -> String {
    let admitted: Vec<&str> = audience.only.iter().map(|rule| &*rule.label).collect();
    format!("{} admits only {}", audience.name, admitted.join(", or "))
}

/// How often such a request of `client` may come.
fn limits(audience: &Audience, client: Client) -> Vec<String> {
    let Limits { audience: all, client: each } = audience.rate_limit;
    let all = all.map(|limit| format!("{} for all of {}; else 429", limit.told(), audience.name));
    let each = each.map(|limit| {
        let counted = match client {
            Client::Ip(IpAddr::V4(_)) | Client::Unix => client.to_string(),
            Client::Ip(IpAddr::V6(address)) => {
                format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
            }
        };
        format!("{} for each client, counted as {counted}; else 429", limit.told())
    });
    all.into_iter().chain(each).collect()
}

fn promises(objective: &Objective) -> Vec<String> {
    let name = objective.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let available = objective.availability.map(|share| format!("{name}{share} available"));
    let in_time = objective.latency.map(|latency| {
        format!("{name}{} within {}", latency.target, format_duration(latency.within))
    });
    available.into_iter().chain(in_time).collect()
}

/// `Rack::MethodOverride` makes another method of a POST: from `_method` in a form's body, or from
/// a header. It never looks into the query.
fn method_note(asked: &Asked) -> Option<String> {
    let posted = asked.method == http::Method::POST;
    let header = asked.headers.get("x-http-method-override").and_then(|value| value.to_str().ok());
    let told = asked.form_method.as_deref().map(|method| (method, "the form's `_method`"));
    match told.or(header.map(|method| (method, "X-HTTP-Method-Override"))) {
        Some((method, place)) if posted => Some(format!(
            "Rails may see {} instead of POST ({place}); rules see POST",
            method.to_ascii_uppercase()
        )),
        _ if posted && asked.query.as_deref().is_some_and(|query| query.contains("_method=")) => {
            Some(
                "Rails takes `_method` from a form's body, not from the query: it sees POST".into(),
            )
        }
        _ => None,
    }
}

/// What a client must escape is refused when a request is read, before anything is decided.
fn escape_note(asked: &Asked) -> Option<String> {
    let mut written = asked.path.chars().chain(asked.query.iter().flat_map(|query| query.chars()));
    let raw = |c: &char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>');
    let character = written.find(raw)?;
    Some(format!("sent like this, with {character:?} unescaped, it is refused: 400 bad_target"))
}
