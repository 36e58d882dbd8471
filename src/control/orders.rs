//! What operators ask of the control port in the body of a POST, as JSON.
//!
//! Unlike what usher answers, nothing that is not known is passed over here: an order that was
//! misspelt is refused rather than carried out by half.

use std::time::Duration;

use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use super::{audit::Deed, guard::Whence, keys::Caller};

mod order;

pub use order::{Asked, Order, OrderBody};

/// The largest body.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

/// How long a new process may take to be ready at most.
pub(super) const UPGRADE_SECONDS_MAX: u64 = 300;

/// The longest reason, in characters.
const REASON_MAX: usize = 500;

/// The longest name that an operator gives.
const OPERATOR_MAX: usize = 64;

/// Who says to ask, and why. Every order may have these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Why {
    /// Who says to ask, which nobody has checked.
    pub operator: Option<String>,
    /// Why it is asked.
    pub reason: Option<String>,
}

/// An upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeOrder {
    /// As in [`Why`].
    pub operator: Option<String>,
    /// As in [`Why`].
    pub reason: Option<String>,
    /// How long the new process may take to be ready, from 1 to 300.
    pub wait_seconds: Option<u64>,
}

/// Who has usher change something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The name of the token; `loopback` or `unix` without one, or what else it was: `signal` or
    /// `file`.
    pub who: String,
    /// From where it was asked.
    pub from: Option<Whence>,
    /// Who says to ask, and the reason given.
    pub why: Why,
}

// === impl Why ===

impl Why {
    /// What is wrong with it.
    pub(super) fn complaint(&self) -> Option<String> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        let operator = self.operator.as_deref().unwrap_or_default();
        if operator.chars().count() > OPERATOR_MAX || !plain(operator) {
            return Some(format!("`operator` has at most {OPERATOR_MAX} plain characters."));
        }
        let reason = self.reason.as_deref().unwrap_or_default();
        if reason.chars().count() > REASON_MAX || !plain(reason) {
            return Some(format!("`reason` is one line of at most {REASON_MAX} characters."));
        }
        None
    }
}

// === impl UpgradeOrder ===

impl UpgradeOrder {
    /// Who and why, and how long the new process may take; or what is wrong with it.
    pub(super) fn parts(self) -> Result<(Why, Option<Duration>), String> {
        let Self { operator, reason, wait_seconds } = self;
        let why = Why { operator, reason };
        if wait_seconds.is_some_and(|wait| !(1..=UPGRADE_SECONDS_MAX).contains(&wait)) {
            return Err(format!("`wait_seconds` is from 1 to {UPGRADE_SECONDS_MAX}."));
        }
        match why.complaint() {
            Some(complaint) => Err(complaint),
            None => Ok((why, wait_seconds.map(Duration::from_secs))),
        }
    }
}

// === impl By ===

impl By {
    /// Somebody at the control port.
    pub(super) fn caller(caller: &Caller, from: Whence, why: Why) -> Self {
        let who = caller.token.as_ref().map_or_else(|| from.word().to_owned(), ToString::to_string);
        Self { who, from: Some(from), why }
    }

    /// Something else than a request: `signal`, `file`.
    pub fn itself(who: &str) -> Self {
        Self { who: who.to_owned(), from: None, why: Why::default() }
    }

    /// How people are told who it was: `oncall`, or `alice (oncall)`.
    pub fn name(&self) -> String {
        match &self.why.operator {
            Some(operator) => format!("{operator} ({})", self.who),
            None => self.who.clone(),
        }
    }

    /// What is written down about `action`.
    pub fn deed(&self, action: &str, result: &'static str) -> Deed {
        Deed {
            who: self.who.clone(),
            operator: self.why.operator.clone(),
            from: self.from.map(|from| from.to_string()),
            action: action.to_owned(),
            why: self.why.reason.clone(),
            result,
            ..Deed::default()
        }
    }
}

// === free functions ===

/// The order in `body`; nothing at all is an order without anything said.
///
/// # Errors
///
/// A sentence for whoever sent it.
pub(super) fn read<T>(headers: &HeaderMap, body: &[u8]) -> Result<T, String>
where
    T: Default + for<'de> Deserialize<'de>,
{
    if body.is_empty() {
        return Ok(T::default());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // A form of another site can be sent without being asked; JSON cannot.
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err("Send JSON, with `Content-Type: application/json`.".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| format!("This is no such order: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(kind: &str, body: &str) -> Result<Why, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().expect("a value"));
        read(&headers, body.as_bytes())
    }

    #[test]
    fn an_order_is_json_and_nothing_in_it_is_passed_over() {
        assert_eq!(read_as("text/plain", ""), Ok(Why::default()));
        let why = Why { operator: None, reason: Some("deploy".into()) };
        assert_eq!(read_as("application/json; charset=utf-8", r#"{"reason":"deploy"}"#), Ok(why));
        for (kind, body, said) in [
            ("text/plain", "{}", "Content-Type"),
            ("application/json", "{", "no such order"),
            ("application/json", r#"{"raeson":"x"}"#, "unknown field `raeson`"),
            ("application/json", r#"{"reason":7}"#, "invalid type"),
        ] {
            let error = read_as(kind, body).expect_err("it is wrong");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_said_is_a_line() {
        let why = |operator: &str, reason: &str| Why {
            operator: Some(operator.to_owned()),
            reason: Some(reason.to_owned()),
        };
        assert_eq!(why("alice@web-1", "Datenbank zieht um").complaint(), None);
        assert!(why("a\u{1b}[2J", "").complaint().is_some());
        assert!(why("", "two\nlines").complaint().is_some());
        assert!(why("", &"x".repeat(501)).complaint().is_some());
        assert!(why(&"x".repeat(65), "").complaint().is_some());
    }
}
