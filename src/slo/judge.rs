//! Whether a request was served as promised: one event for each promise that speaks about it.

use std::time::Duration;

use http::StatusCode;

use super::{Aim, On, Promise};
use crate::{
    fault::{Blame, Fault, Outcome},
    meters::{Cause, Verdict},
};

/// What is known of a request at its end. Times run from the request read whole.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The status of its answer.
    pub status: Option<StatusCode>,
    /// Why the monolith did not serve it as asked.
    pub fault: Option<Fault>,
    /// When the head of the monolith's answer came; none when none came.
    pub first_byte: Option<Duration>,
    /// When it ended. 0 when it had not been read whole by then.
    pub ended: Duration,
    /// What the monolith said of it.
    pub said: Option<Said>,
}

/// What the monolith may say of its own answer: `X-Usher-Slo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was not what the client was promised, whatever its status.
    Bad,
    /// It is not to be counted.
    Exclude,
}

// === impl Said ===

impl Said {
    /// Reads the header's value; a word that it does not know says nothing.
    pub fn parse(value: &[u8]) -> Option<Self> {
        match value.trim_ascii() {
            word if word.eq_ignore_ascii_case(b"bad") => Some(Said::Bad),
            word if word.eq_ignore_ascii_case(b"exclude") => Some(Said::Exclude),
            _ => None,
        }
    }
}

// === impl Promise ===

impl Promise {
    /// What a request that this promise speaks about amounts to; nothing when it is not counted.
    pub fn judge(&self, ended: &Ended) -> Option<Verdict> {
        if ended.said == Some(Said::Exclude) {
            return None;
        }
        if let Some(fault) = ended.fault {
            let by_client = fault.blame() == Blame::Client;
            match (by_client, fault.outcome() == Outcome::Abandoned, ended.first_byte) {
                (false, ..) => return bad(Cause::Fault(fault)),
                (true, false, _) => return None,
                (true, true, None) => return self.left(fault, ended.ended),
                // The answer had begun, and is judged by what it was until then.
                (true, true, Some(_)) => {}
            }
        }
        if ended.said == Some(Said::Bad) {
            return bad(Cause::Said);
        }
        let status = ended.status?;
        if status.is_server_error() {
            return bad(Cause::ServerError);
        }
        if self.bad.contains(status.as_u16()) {
            return bad(Cause::ListedStatus);
        }
        self.in_time(ended)
    }

    fn in_time(&self, ended: &Ended) -> Option<Verdict> {
        let (within, came) = match self.aim {
            Aim::Availability { .. } => return Some(Verdict::Good),
            Aim::Latency { within, on: On::FirstByte } => (within, ended.first_byte?),
            Aim::Latency { within, on: On::Completion } => match ended.fault {
                // The last byte never came.
                Some(fault) => return self.left(fault, ended.ended),
                None => (within, ended.ended),
            },
        };
        if came <= within { Some(Verdict::Good) } else { bad(Cause::Late) }
    }

    /// A client that left says nothing while it could not yet know, and then that it waited too
    /// long. One that took nothing more of its answer says nothing at all.
    fn left(&self, fault: Fault, after: Duration) -> Option<Verdict> {
        let patience = match self.aim {
            Aim::Availability { patience } => patience,
            Aim::Latency { within, .. } => within,
        };
        let gave_up = fault == Fault::ClientLeft && after > patience;
        gave_up.then_some(Verdict::Bad(Cause::Fault(fault)))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "reads as what judging answers")]
fn bad(cause: Cause) -> Option<Verdict> {
    Some(Verdict::Bad(cause))
}

#[cfg(test)]
mod tests;
