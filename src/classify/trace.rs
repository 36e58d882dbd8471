//! Rule by rule in file order, with reasons: slow and plain, for people, and the measure that the
//! index is held to.

use std::fmt;

use super::{Facts, Matcher, PathView, RuleSpec, Subject};

/// One rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The audience, counted in file order.
    pub audience: usize,
    /// Its rule, counted in file order; none for an audience that takes all that is left.
    pub rule: Option<usize>,
    /// Why the rule did not match; none when it did, which ends the trace.
    pub miss: Option<Miss>,
}

/// Why a rule did not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// A condition was not met.
    Unmet {
        /// The condition as it was written.
        condition: String,
        /// The value that the request has there; none when it has none.
        seen: Option<String>,
    },
    /// A condition that shuts out was met.
    ShutOut {
        /// The condition as it was written.
        condition: String,
    },
}

/// Tries all rules in file order up to the first that matches.
pub fn trace(audiences: &[Vec<RuleSpec>], facts: &Facts<'_>, path: &PathView<'_>) -> Vec<Step> {
    let subject = Subject::new(facts, path);
    let mut steps = Vec::new();
    for (audience, rules) in audiences.iter().enumerate() {
        if rules.is_empty() {
            steps.push(Step { audience, rule: None, miss: None });
            return steps;
        }
        for (rule, spec) in rules.iter().enumerate() {
            let miss = miss(&subject, spec);
            let taken = miss.is_none();
            steps.push(Step { audience, rule: Some(rule), miss });
            if taken {
                return steps;
            }
        }
    }
    steps
}

// === impl Miss ===

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Unmet { condition, seen: Some(seen) } if seen.is_empty() => {
                write!(f, "{condition}: is empty")
            }
            Miss::Unmet { condition, seen: Some(seen) } => write!(f, "{condition}: is `{seen}`"),
            Miss::Unmet { condition, seen: None } => write!(f, "{condition}: there is none"),
            Miss::ShutOut { condition } => write!(f, "not {condition}: it is"),
        }
    }
}

fn miss(subject: &Subject<'_>, rule: &RuleSpec) -> Option<Miss> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let unmet = |m: &Matcher| Miss::Unmet {
        condition: m.to_string(),
        seen: subject.value(m).map(|value| text(&value)),
    };
    let shut_out = |m: &Matcher| Miss::ShutOut { condition: m.to_string() };
    let first_unmet = rule.all.iter().find(|m| !subject.matches(m)).map(unmet);
    first_unmet.or_else(|| rule.not.iter().find(|m| subject.matches(m)).map(shut_out))
}
