//! Verbs as they are kept over a restart and handed to another process: JSON.
//!
//! ```json
//! { "version": 1, "verbs": [{ "verb": "pause", "kind": "audience", "target": "customer", … }] }
//! ```
//!
//! Fields are added, never renamed. An entry that cannot be understood is left out and said so: a
//! verb of a later version is no reason to forget the others.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Allowed, REQUESTS, Target, Verb, WAIT};
use crate::name::Name;

/// The version that is written.
const VERSION: u32 = 1;

/// Why a text holds no verbs.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It is no such JSON: torn, or something else.
    #[error("it is not what usher writes: {0}")]
    Broken(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    verbs: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct KeptVerb {
    verb: String,
    kind: String,
    target: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    reason: Option<String>,
    /// Seconds since 1970.
    since: u64,
    #[serde(default)]
    until: Option<u64>,
    #[serde(default)]
    wait_ms: Option<u64>,
    #[serde(default)]
    requests: Option<u32>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    allow_users: Vec<Box<str>>,
}

/// `verbs` as text.
pub fn write<'a>(verbs: impl Iterator<Item = &'a Verb>) -> String {
    let verbs = verbs.filter_map(|verb| serde_json::to_value(KeptVerb::of(verb)).ok()).collect();
    let kept = Kept { version: VERSION, verbs };
    serde_json::to_string_pretty(&kept).map(|text| text + "\n").unwrap_or_default()
}

/// The verbs in `text`, and a sentence about each entry that is none.
///
/// # Errors
///
/// It is no such text at all.
pub fn read(text: &str) -> Result<(Vec<Verb>, Vec<String>), KeptError> {
    let kept: Kept = serde_json::from_str(text)?;
    let mut complaints = Vec::new();
    let verbs = kept.verbs.into_iter().filter_map(|entry| {
        let shown: String = entry.to_string().chars().take(200).collect();
        let verb = serde_json::from_value(entry).ok().and_then(|kept: KeptVerb| kept.verb());
        if verb.is_none() {
            complaints.push(format!("an entry of version {} is left out: {shown}", kept.version));
        }
        verb
    });
    let verbs = verbs.collect();
    Ok((verbs, complaints))
}

// === impl KeptVerb ===

impl KeptVerb {
    fn of(verb: &Verb) -> Self {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let (wait_ms, requests, allow) = match &verb.action {
            Action::Pause { wait, requests } => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                (Some(wait_ms), Some(*requests), Allowed::default())
            }
            Action::Maintenance { allow } => (None, None, allow.clone()),
            Action::Drain => (None, None, Allowed::default()),
        };
        Self {
            verb: verb.action.name().to_owned(),
            kind: verb.target.kind().to_owned(),
            target: verb.target.name().to_owned(),
            by: verb.by.clone(),
            reason: verb.reason.clone(),
            since: seconds(verb.since),
            // Rounded up: a restart ends nothing early.
            until: verb.until.map(|until| seconds(until + Duration::from_millis(999))),
            wait_ms,
            requests,
            allow: allow.networks.iter().map(ToString::to_string).collect(),
            allow_users: allow.users,
        }
    }

    fn verb(self) -> Option<Verb> {
        let name = || Name::parse(&self.target).ok();
        let target = match self.kind.as_str() {
            "audience" => Target::Audience(name()?),
            "pool" => Target::Pool(name()?),
            "endpoint" => Target::Endpoint(self.target.as_str().into()),
            _ => return None,
        };
        let action = match self.verb.as_str() {
            "pause" => Action::Pause {
                wait: self.wait_ms.map_or(WAIT, Duration::from_millis),
                requests: self.requests.unwrap_or(REQUESTS),
            },
            "maintenance" => {
                let networks = self.allow.iter().map(|network| network.parse().ok());
                let networks = networks.collect::<Option<_>>()?;
                Action::Maintenance { allow: Allowed { networks, users: self.allow_users } }
            }
            "drain" => Action::Drain,
            _ => return None,
        };
        // A verb that does nothing to such a target would be shown and have no effect.
        let fits = matches!(action, Action::Drain) == matches!(target, Target::Endpoint(_));
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let until = match self.until {
            Some(until) => Some(at(until)?),
            None => None,
        };
        let (by, reason, since) = (self.by, self.reason, at(self.since)?);
        fits.then_some(Verb { action, target, by, reason, since, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn verbs() -> Vec<Verb> {
        let name = |text| Name::parse(text).expect("a name");
        let verb = |action, target, until: Option<u64>| Verb {
            action,
            target,
            by: "alice (oncall)".into(),
            reason: Some("a \"quoted\" reason".into()),
            since: at(5),
            until: until.map(at),
        };
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let allow = Allowed { networks, users: vec!["17".into()] };
        vec![
            verb(
                Action::Pause { wait: Duration::from_millis(1_500), requests: 7 },
                Target::Audience(name("customer")),
                Some(99),
            ),
            verb(Action::Maintenance { allow }, Target::Pool(name("web")), None),
            verb(Action::Drain, Target::Endpoint("unix:/run/puma.sock".into()), None),
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (read, complaints) = read(&write(verbs().iter())).expect("it is what was written");
        assert_eq!((read, complaints), (verbs(), Vec::new()));
    }

    #[test]
    fn a_torn_text_is_none_wherever_it_was_torn() {
        let text = write(verbs().iter());
        let whole = text.trim_end().len();
        for length in 0..whole {
            assert!(read(&text[..length]).is_err(), "{length} of {whole} bytes");
        }
    }

    #[test]
    fn what_another_version_says_is_taken_as_far_as_it_is_understood() {
        let text = r#"{"version":9,"later":1,"verbs":[
            {"verb":"shed","kind":"audience","target":"a","since":1},
            {"verb":"pause","kind":"audience","target":"a","since":1,"from_the_future":2},
            {"verb":"drain","kind":"audience","target":"a","since":1},
            {"verb":"pause","kind":"pool","target":"Not A Name","since":1},
            7]}"#;
        let (verbs, complaints) = read(text).expect("it is JSON");
        assert_eq!(verbs.len(), 1);
        assert_eq!(verbs[0].action, Action::Pause { wait: WAIT, requests: REQUESTS });
        assert_eq!(complaints.len(), 4, "{complaints:?}");
        assert!(complaints[0].contains("version 9") && complaints[0].contains("shed"));
    }
}
