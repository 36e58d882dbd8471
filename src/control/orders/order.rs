//! The orders that operators give: which verb, for what, for how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Why;
use crate::{
    peer::Network,
    units,
    verbs::{Allowed, REQUESTS, WAIT},
};

/// The longest time for which anything can be ordered.
const LENGTH_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The longest that a paused request may be made to wait.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The most requests that may be made to wait.
const REQUESTS_MAX: u32 = 100_000;

/// The most networks that may pass.
const ALLOW_MAX: usize = 100;

/// The longest id of a user, in bytes.
const USER_BYTES_MAX: usize = 256;

/// The body of an order. Which keys there may be depends on the verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderBody {
    /// An audience (`customer`, `audience:customer`), a pool (`pool:web`) or an endpoint.
    pub target: String,
    /// For how long (`10m`); without it, until somebody ends it.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
    /// How long a paused request may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// How many paused requests may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Networks that pass during maintenance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Users that pass during maintenance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_users: Vec<String>,
    /// Whether the last endpoint of a pool may be drained.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// Who says to ask, which nobody has checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Why it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Requests wait.
    Pause,
    /// Requests are answered by usher.
    Maintenance,
    /// Whatever is in force for an audience or a pool ends.
    Resume,
    /// An endpoint gets no new requests.
    Drain,
    /// An endpoint gets requests again.
    Undrain,
}

/// An order that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub asked: Asked,
    /// For what, as it was written.
    pub target: String,
    /// For how long.
    pub length: Option<Duration>,
    /// How long a paused request may wait.
    pub wait: Duration,
    /// How many paused requests may wait.
    pub requests: u32,
    /// Who passes during maintenance.
    pub allow: Allowed,
    /// Whether the last endpoint of a pool may be drained.
    pub last: bool,
}

// === impl Asked ===

impl Asked {
    /// All of them.
    pub const ALL: [Asked; 5] =
        [Asked::Pause, Asked::Maintenance, Asked::Resume, Asked::Drain, Asked::Undrain];

    /// The word of the command, of the path and of the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Asked::Pause => "pause",
            Asked::Maintenance => "maintenance",
            Asked::Resume => "resume",
            Asked::Drain => "drain",
            Asked::Undrain => "undrain",
        }
    }

    /// Whether such an order puts something in force, which may have an end.
    const fn begins(self) -> bool {
        matches!(self, Asked::Pause | Asked::Maintenance | Asked::Drain)
    }
}

// === impl OrderBody ===

impl OrderBody {
    /// The order that it is, and why it is given.
    ///
    /// # Errors
    ///
    /// A sentence about what makes no sense.
    pub fn order(self, asked: Asked) -> Result<(Order, Why), String> {
        if self.target.is_empty() {
            return Err("`target` is missing.".to_owned());
        }
        self.fits(asked)?;
        let length = duration("for", self.length.as_deref(), Duration::from_secs(1), LENGTH_MAX)?;
        let wait = duration("wait", self.wait.as_deref(), Duration::ZERO, WAIT_MAX)?;
        let requests = self.requests.unwrap_or(REQUESTS);
        if requests > REQUESTS_MAX {
            return Err(format!("`requests` is at most {REQUESTS_MAX}."));
        }
        if self.allow.len() > ALLOW_MAX {
            return Err(format!("`allow` names at most {ALLOW_MAX} networks."));
        }
        if self.allow_users.len() > ALLOW_MAX {
            return Err(format!("`allow_users` names at most {ALLOW_MAX} users."));
        }
        let allow = Allowed {
            networks: self.allow.iter().map(|text| network(text)).collect::<Result<_, _>>()?,
            users: self.allow_users.into_iter().map(user).collect::<Result<_, _>>()?,
        };
        let why = Why { operator: self.operator, reason: self.reason };
        if let Some(complaint) = why.complaint() {
            return Err(complaint);
        }
        let (target, last, wait) = (self.target, self.last, wait.unwrap_or(WAIT));
        Ok((Order { asked, target, length, wait, requests, allow, last }, why))
    }

    /// Refuses keys that mean nothing to this verb: whoever wrote them expects something.
    fn fits(&self, asked: Asked) -> Result<(), String> {
        let pause = asked == Asked::Pause;
        let misplaced = [
            ("for", self.length.is_some() && !asked.begins()),
            ("wait", self.wait.is_some() && !pause),
            ("requests", self.requests.is_some() && !pause),
            ("allow", !self.allow.is_empty() && asked != Asked::Maintenance),
            ("allow_users", !self.allow_users.is_empty() && asked != Asked::Maintenance),
            ("last", self.last && asked != Asked::Drain),
        ];
        match misplaced.into_iter().find(|(_, misplaced)| *misplaced) {
            Some((key, _)) => Err(format!("`{key}` means nothing to {}.", asked.name())),
            None => Ok(()),
        }
    }
}

// === free functions ===

fn duration(
    key: &str,
    text: Option<&str>,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let duration = units::parse_duration(text)
        .map_err(|error| format!("`{key}`: `{text}` is not a duration: {error}."))?;
    if duration < least || duration > most {
        let (least, most) = (units::format_duration(least), units::format_duration(most));
        return Err(format!("`{key}` lies between {least} and {most}."));
    }
    Ok(Some(duration))
}

fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|_| format!("`allow`: `{text}` is not a network."))
}

fn user(id: String) -> Result<Box<str>, String> {
    let good = (1..=USER_BYTES_MAX).contains(&id.len()) && !id.contains(char::is_control);
    if good { Ok(id.into()) } else { Err("`allow_users`: this is no user's id.".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> OrderBody {
        OrderBody { target: "customer".into(), ..OrderBody::default() }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (order, why) = body().order(Asked::Pause).expect("it makes sense");
        assert_eq!((order.length, order.wait, order.requests), (None, WAIT, REQUESTS));
        assert_eq!(why, Why::default());
        let body = OrderBody {
            length: Some("10m".into()),
            allow: vec!["10.0.0.0/8".into(), "192.0.2.7".into()],
            allow_users: vec!["17".into()],
            ..body()
        };
        let (order, _) = body.order(Asked::Maintenance).expect("it makes sense");
        assert_eq!(order.length, Some(Duration::from_secs(600)));
        assert_eq!(order.allow.networks[1].to_string(), "192.0.2.7/32");
        assert_eq!(order.allow.users, ["17".into()]);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let length = |text: &str| OrderBody { length: Some(text.into()), ..body() };
        for (asked, body, said) in [
            (Asked::Pause, OrderBody::default(), "`target` is missing."),
            (Asked::Pause, length("10"), "`for`: `10` is not a duration: "),
            (Asked::Pause, length("0s"), "`for` lies between 1s and 365d."),
            (Asked::Resume, length("10m"), "`for` means nothing to resume."),
            (Asked::Drain, OrderBody { requests: Some(1), ..body() }, "`requests` means nothing"),
            (Asked::Pause, OrderBody { last: true, ..body() }, "`last` means nothing to pause."),
            (Asked::Pause, OrderBody { wait: Some("2h".into()), ..body() }, "`wait` lies between"),
            (
                Asked::Maintenance,
                OrderBody { allow: vec!["localhost".into()], ..body() },
                "`allow`: `localhost` is not a network.",
            ),
            (
                Asked::Drain,
                OrderBody { allow_users: vec!["17".into()], ..body() },
                "`allow_users` means nothing to drain.",
            ),
            (
                Asked::Maintenance,
                OrderBody { allow_users: vec![String::new()], ..body() },
                "`allow_users`: this is no user's id.",
            ),
            (
                Asked::Pause,
                OrderBody { reason: Some("two\nlines".into()), ..body() },
                "`reason` is one line",
            ),
        ] {
            let error = body.order(asked).expect_err(said);
            assert!(error.starts_with(said), "{error}");
        }
    }
}
