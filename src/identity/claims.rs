//! From what a token says, once that can be believed, to who asks.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value};

use super::{Flaw, source::Proof};
use crate::{
    classify::{Claim, Identity},
    name::Name,
};

/// The longest user and the longest role, in bytes.
const WORD_BYTES_MAX: usize = 256;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// What has to hold of what a token says, and where it says who asks.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Where the user stands.
    pub user: String,
    /// Where the roles stand.
    pub roles: Option<String>,
    /// Who may have issued it; empty: anyone who holds the key.
    pub issuers: Vec<String>,
    /// For whom it may have been made; empty: anyone.
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Whether a token without an end is taken.
    pub endless: bool,
    /// The claims that some rule asks for.
    pub wanted: Arc<[String]>,
}

// === impl Moment ===

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }
}

// === impl Terms ===

impl Terms {
    /// Who `said` says is asking, and until when that may be believed.
    pub(super) fn judge(
        &self,
        said: &Value,
        source: &Arc<Name>,
        now: Moment,
    ) -> Result<Proof, Flaw> {
        let claims = said.as_object().ok_or(Flaw::Malformed)?;
        let until = self.in_time(claims, now)?;
        if !self.issuers.is_empty() {
            let issuer = claims.get("iss").and_then(Value::as_str);
            let known = issuer.is_some_and(|it| self.issuers.iter().any(|known| known == it));
            known.then_some(()).ok_or(Flaw::WrongIssuer)?;
        }
        if !self.audiences.is_empty() {
            let meant = |value: &Value| {
                value.as_str().is_some_and(|it| self.audiences.iter().any(|known| known == it))
            };
            let ours = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(meant),
                Some(one) => meant(one),
                None => false,
            };
            ours.then_some(()).ok_or(Flaw::WrongAudience)?;
        }
        Ok(Proof { identity: Arc::new(self.identity(said, source)?), until })
    }

    /// Who `said` speaks of.
    pub(super) fn identity(&self, said: &Value, source: &Arc<Name>) -> Result<Identity, Flaw> {
        let subject = match within(said, &self.user) {
            Some(Value::String(user)) => user.clone(),
            Some(Value::Number(user)) if !user.is_f64() => user.to_string(),
            _ => return Err(Flaw::NoUser),
        };
        let roles = self.roles.as_ref().and_then(|path| within(said, path));
        let wanted = self.wanted.iter().filter_map(|name| {
            let values = texts(within(said, name)?);
            (!values.is_empty()).then(|| Claim { name: name.as_str().into(), values })
        });
        Ok(Identity {
            subject: user(subject)?,
            roles: roles.map(roles_of).unwrap_or_default(),
            claims: wanted.collect(),
            source: source.clone(),
        })
    }

    /// Until when it holds, if it holds now.
    fn in_time(&self, claims: &Map<String, Value>, now: Moment) -> Result<Moment, Flaw> {
        let leeway = self.leeway.as_secs();
        if date(claims, "nbf")?.is_some_and(|from| now.0.saturating_add(leeway) < from) {
            return Err(Flaw::NotYetValid);
        }
        match date(claims, "exp")? {
            Some(end) if now.0 < end.saturating_add(leeway) => {
                Ok(Moment(end.saturating_add(leeway)))
            }
            Some(_) => Err(Flaw::Expired),
            None if self.endless => Ok(Moment(u64::MAX)),
            None => Err(Flaw::Endless),
        }
    }
}

/// A user that can be compared and shown: text of bounded length without control characters.
pub(super) fn user(text: String) -> Result<Box<str>, Flaw> {
    let fine = !text.is_empty() && text.len() <= WORD_BYTES_MAX;
    if fine && !text.chars().any(char::is_control) { Ok(text.into()) } else { Err(Flaw::NoUser) }
}

/// A date as RFC 7519 §2 has it: seconds, perhaps with a fraction.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Flaw> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => {
            let whole = seconds.as_u64().or_else(|| {
                let seconds = seconds.as_f64().filter(|it| (0.0..1e15).contains(it));
                seconds.map(|seconds| seconds as u64)
            });
            whole.map(Some).ok_or(Flaw::Malformed)
        }
        Some(_) => Err(Flaw::Malformed),
    }
}

/// What stands at `path` within `value`; an empty path is `value` itself.
fn within<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() { Some(value) } else { below(value, path) }
}

/// What stands at `path`: names and places in lists, with dots between. Names that hold dots
/// themselves (`warden.user.user.key`) are found as well: the longest that is there goes first.
fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut dots = path.rmatch_indices('.');
    dots.find_map(|(dot, _)| below(claims.get(&path[..dot])?, &path[dot + 1..]))
}

fn below<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    match value {
        Value::Object(inner) => at(inner, path),
        Value::Array(items) => {
            let (place, rest) = path.split_once('.').map_or((path, None), |(p, r)| (p, Some(r)));
            let item = items.get(place.parse::<usize>().ok()?)?;
            rest.map_or(Some(item), |rest| below(item, rest))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Roles: a list, or a text with blanks between them, as OAuth writes scopes.
pub(super) fn roles_of(value: &Value) -> Box<[Box<str>]> {
    match value {
        Value::String(text) => words(text.split_ascii_whitespace()),
        other => texts(other),
    }
}

/// Bounded words.
pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) -> Box<[Box<str>]> {
    let fine = |word: &&str| !word.is_empty() && word.len() <= WORD_BYTES_MAX;
    words.filter(fine).map(Box::from).collect()
}

/// The scalars of `value`, as text.
fn texts(value: &Value) -> Box<[Box<str>]> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(yes) => Some(yes.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    fn judged(terms: &Terms, claims: &Value) -> Result<Identity, Flaw> {
        let source = Arc::new(Name::parse("jwt").expect("a name"));
        let proof = terms.judge(claims, &source, Moment(1000));
        proof.map(|proof| (*proof.identity).clone())
    }

    fn terms() -> Terms {
        Terms { user: "sub".into(), leeway: Duration::from_secs(30), ..Terms::default() }
    }

    #[test]
    fn a_path_leads_through_names_with_dots_and_lists() {
        let session = object(json!({
            "warden.user.user.key": [[42], "salt"],
            "a": { "b.c": { "d": 1 } },
            "a.b": 2,
        }));
        assert_eq!(at(&session, "warden.user.user.key.0.0"), Some(&json!(42)));
        assert_eq!(at(&session, "a.b.c.d"), Some(&json!(1)));
        assert_eq!(at(&session, "a.b"), Some(&json!(2)));
        for nowhere in ["", ".", "a", "a.b.c.d.e", "warden.user.user.key.0.1", "warden"] {
            assert!(at(&session, nowhere).is_none_or(Value::is_object), "{nowhere}");
        }
    }

    #[test]
    fn a_token_holds_from_its_beginning_to_its_end_with_leeway() {
        for (claims, flaw) in [
            (json!({ "sub": "1", "exp": 970 }), Some(Flaw::Expired)),
            (json!({ "sub": "1", "exp": 971 }), None),
            (json!({ "sub": "1", "exp": 2000, "nbf": 1030 }), None),
            (json!({ "sub": "1", "exp": 2000, "nbf": 1031 }), Some(Flaw::NotYetValid)),
            (json!({ "sub": "1", "exp": 2000.5 }), None),
            (json!({ "sub": "1", "exp": "2000" }), Some(Flaw::Malformed)),
            (json!({ "sub": "1", "exp": -1 }), Some(Flaw::Malformed)),
            (json!({ "sub": "1" }), Some(Flaw::Endless)),
            (json!({ "sub": "", "exp": 2000 }), Some(Flaw::NoUser)),
            (json!({ "sub": "a\nb", "exp": 2000 }), Some(Flaw::NoUser)),
            (json!({ "sub": 1.5, "exp": 2000 }), Some(Flaw::NoUser)),
            (json!({ "sub": null, "exp": 2000 }), Some(Flaw::NoUser)),
            (json!({ "exp": 2000 }), Some(Flaw::NoUser)),
        ] {
            assert_eq!(judged(&terms(), &claims).err(), flaw, "{claims}");
        }
        let endless = Terms { endless: true, ..terms() };
        assert!(judged(&endless, &json!({ "sub": 7 })).is_ok_and(|it| &*it.subject == "7"));
    }

    #[test]
    fn issuer_and_audience_have_to_be_named_where_they_are_asked_for() {
        let terms = Terms {
            issuers: vec!["https://id.example".into()],
            audiences: vec!["shop".into()],
            ..terms()
        };
        let with = |iss: Value, aud: Value| {
            let claims = json!({ "sub": "1", "exp": 2000, "iss": iss, "aud": aud });
            judged(&terms, &claims).err()
        };
        assert_eq!(with(json!("https://id.example"), json!("shop")), None);
        assert_eq!(with(json!("https://id.example"), json!(["a", "shop"])), None);
        assert_eq!(with(json!("https://id.example/"), json!("shop")), Some(Flaw::WrongIssuer));
        assert_eq!(with(json!(null), json!("shop")), Some(Flaw::WrongIssuer));
        let other = [json!("shop2"), json!([]), json!(null), json!({ "shop": 1 })];
        for aud in other {
            assert_eq!(with(json!("https://id.example"), aud), Some(Flaw::WrongAudience));
        }
    }

    #[test]
    fn only_what_a_rule_asks_for_is_kept() {
        let wanted = ["plan", "org.id", "beta"].map(String::from);
        let terms = Terms { roles: Some("scope".into()), wanted: wanted.into(), ..terms() };
        let identity = judged(
            &terms,
            &json!({
                "sub": "1", "exp": 2000, "scope": "read write", "plan": ["gold", 3], "mail": "x",
                "org": { "id": 9 }, "beta": true,
            }),
        );
        let identity = identity.expect("a user");
        assert_eq!(&*identity.roles, ["read".into(), "write".into()]);
        let claims: Vec<_> = identity
            .claims
            .iter()
            .map(|it| format!("{}={}", it.name, it.values.join("+")))
            .collect();
        assert_eq!(claims, ["plan=gold+3", "org.id=9", "beta=true"]);
    }
}
