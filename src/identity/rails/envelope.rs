//! What is inside a cookie once it is open: a message, and what Rails says of it
//! (`ActiveSupport::Messages::Metadata`).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::identity::{Flaw, Moment};

/// What is inside a cookie.
pub(super) struct Envelope {
    /// What Rails says of the message; nothing before Rails 5.2.
    about: Option<Map<String, Value>>,
    /// The message, where there is nothing around it.
    bare: Value,
}

// === impl Envelope ===

impl Envelope {
    pub(super) fn open(inside: &[u8]) -> Result<Self, Flaw> {
        let mut bare = json(inside)?;
        let about = match bare.as_object_mut().and_then(|it| it.remove("_rails")) {
            None => None,
            Some(Value::Object(about)) => Some(about),
            Some(_) => return Err(Flaw::Malformed),
        };
        Ok(Self { about, bare })
    }

    /// Until when it holds, if it holds now. Rails gives no leeway here, and neither does usher.
    pub(super) fn until(&self, now: Moment) -> Result<Moment, Flaw> {
        match self.about.as_ref().and_then(|about| about.get("exp")) {
            None | Some(Value::Null) => Ok(Moment(u64::MAX)),
            Some(Value::String(end)) => {
                let end: jiff::Timestamp = end.parse().map_err(|_| Flaw::Malformed)?;
                let end = Moment(u64::try_from(end.as_second()).unwrap_or(0));
                if now < end { Ok(end) } else { Err(Flaw::Expired) }
            }
            Some(_) => Err(Flaw::Malformed),
        }
    }

    /// Whether it was made for the cookie `name`, so that no value of another cookie can be put in
    /// its place.
    pub(super) fn is_for(&self, name: &str, required: bool) -> Result<(), Flaw> {
        match self.about.as_ref().and_then(|about| about.get("pur")) {
            Some(Value::String(purpose)) if purpose.strip_prefix("cookie.") == Some(name) => Ok(()),
            None | Some(Value::Null) if !required => Ok(()),
            _ => Err(Flaw::WrongPurpose),
        }
    }

    /// The message: as text in base64 (`message`), or as it is (`data`, from Rails 7.1 on).
    pub(super) fn message(self) -> Result<Value, Flaw> {
        let Some(mut about) = self.about else { return Ok(self.bare) };
        if let Some(data) = about.remove("data") {
            return Ok(data);
        }
        let Some(Value::String(message)) = about.get("message") else {
            return Err(Flaw::Malformed);
        };
        json(&STANDARD.decode(message).map_err(|_| Flaw::Malformed)?)
    }
}

/// JSON, and nothing else that Rails can be told to write.
fn json(text: &[u8]) -> Result<Value, Flaw> {
    serde_json::from_slice(text).map_err(|_| Flaw::NotJson)
}
