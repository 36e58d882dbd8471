//! Which verbs are in force. Pure: nothing happens because of what is written in here.
//!
//! A target has at most one verb of each kind; a second one takes the first one's place.

use std::time::SystemTime;

use super::{Action, Target, Verb};

/// The most verbs: each is a line of metrics, and an entry of the file.
const VERBS_MAX: usize = 1_000;

/// The verbs in force, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Register(Vec<Verb>);

/// There are as many verbs as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {VERBS_MAX} verbs in force already, which is the most")]
pub struct TooMany;

// === impl Register ===

impl Register {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Verb> {
        self.0.iter()
    }

    /// Those for `target`.
    pub fn of(&self, target: &Target) -> Vec<Verb> {
        self.0.iter().filter(|verb| verb.target == *target).cloned().collect()
    }

    /// Puts `verb` in force, in the place of one of its kind for the same target.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn put(&mut self, verb: Verb) -> Result<(), TooMany> {
        let same =
            |known: &Verb| known.target == verb.target && known.action.name() == verb.action.name();
        match self.0.iter().position(same) {
            Some(at) => self.0[at] = verb,
            None if self.0.len() >= VERBS_MAX => return Err(TooMany),
            None => self.0.push(verb),
        }
        Ok(())
    }

    /// Ends everything that is in force for `target`, and returns it.
    pub fn end(&mut self, target: &Target) -> Vec<Verb> {
        self.0.extract_if(.., |verb| verb.target == *target).collect()
    }

    /// Ends what is over at `now`, and returns it.
    pub fn expire(&mut self, now: SystemTime) -> Vec<Verb> {
        self.0.extract_if(.., |verb| verb.is_over(now)).collect()
    }

    /// Whether the endpoint at `address` is drained.
    pub fn drains(&self, address: &str) -> bool {
        self.0.iter().any(|verb| {
            verb.action == Action::Drain && verb.target == Target::Endpoint(address.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{name::Name, verbs::Allowed};

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn customer() -> Target {
        Target::Audience(Name::parse("customer").expect("a name"))
    }

    fn pause(by: &str, until: Option<u64>) -> Verb {
        let action = Action::Pause { wait: Duration::from_secs(30), requests: 10 };
        let (by, until) = (by.to_owned(), until.map(at));
        Verb { action, target: customer(), by, reason: None, since: at(0), until }
    }

    fn maintenance() -> Verb {
        Verb { action: Action::Maintenance { allow: Allowed::default() }, ..pause("bob", None) }
    }

    #[test]
    fn of_two_operators_the_later_ones_word_holds_and_one_end_ends_everything() {
        let mut register = Register::default();
        register.put(pause("alice", None)).expect("there is room");
        register.put(maintenance()).expect("there is room");
        register.put(pause("bob", Some(9))).expect("there is room");
        let by: Vec<_> = register.iter().map(|verb| (verb.action.name(), &*verb.by)).collect();
        assert_eq!(by, [("pause", "bob"), ("maintenance", "bob")]);
        let other = Target::Pool(Name::parse("customer").expect("a name"));
        assert_eq!(register.end(&other), [], "a pool of the same name is another target");
        assert_eq!(register.end(&customer()).len(), 2);
        assert_eq!(register.iter().count(), 0);
    }

    #[test]
    fn what_has_an_end_ends_then_and_nothing_else_does() {
        let mut register = Register::default();
        register.put(pause("alice", Some(9))).expect("there is room");
        register.put(maintenance()).expect("there is room");
        assert_eq!(register.expire(at(8)), []);
        assert_eq!(pause("", Some(9)).left(at(8)), Some(Duration::from_secs(1)));
        assert_eq!(register.expire(at(9)), [pause("alice", Some(9))]);
        assert_eq!(register.expire(at(1 << 40)), []);
        assert_eq!(register.iter().count(), 1);
    }

    #[test]
    fn there_is_a_limit() {
        let mut register = Register::default();
        for n in 0..VERBS_MAX {
            let target = Target::Endpoint(format!("10.0.0.1:{n}").into());
            let verb = Verb { action: Action::Drain, target, ..pause("alice", None) };
            register.put(verb).expect("there is room");
        }
        assert_eq!(register.put(pause("alice", None)), Err(TooMany));
        assert!(register.drains("10.0.0.1:7") && !register.drains("10.0.0.2:7"));
    }
}
