//! What one usher process hands to the next when it is upgraded.
//!
//! The old process starts the new binary with one end of a pair of Unix sockets as its standard
//! input, and says so in [`VARIABLE`]. Both then speak JSON, one message a line:
//!
//! ```text
//! old process                                            new process
//!   hello: version, pid, labels of the sockets ──────────▶ takes sockets, reads its configuration,
//!          (the sockets themselves come with it)            binds what is new, resolves names
//!   ◀────────────────────────────────────── built: pid, version
//!   state: one section for each part of usher ───────────▶ takes them over, begins to accept
//!   ◀────────────────────────────────────── ready
//!   accepts no more, drains; once a second and at its end:
//!   state: what it has counted meanwhile ─────────────────▶ replaces what it said before
//!   ◀── state: what operators have told the new one, whenever that changes
//!   end of the connection ────────────────────────────────▶ the old process has gone
//! ```
//!
//! At any time before `ready` the new one may say `failed` with a reason; the old one then goes on
//! as if nothing had been asked. So it does when the new one ends or is not ready in time.
//!
//! **Versions.** [`VERSION`] changes only when an old reader would misunderstand a new writer.
//! Fields that are not known are passed over, as are sections; a section that is missing is a part
//! that begins anew. So a binary may hand over to an older one as well.
//!
//! **Adding a section.** Implement [`Estate`] for the part, and name it in `app/estates`.

mod channel;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use channel::{Channel, ChannelError};

/// The format of the messages.
pub const VERSION: u32 = 1;

/// Set to `stdin` for a process whose standard input is the connection to its predecessor.
pub const VARIABLE: &str = "USHER_HANDOVER";

/// What is said, in either direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Message {
    /// The first word, of the old process.
    Hello {
        /// The format of all messages.
        handover: u32,
        /// The version that runs.
        usher: String,
        /// Its process.
        pid: u32,
        /// What the sockets are that come with this message, in their order.
        sockets: Vec<Label>,
    },
    /// The new process has all that it needs but the state.
    Built {
        /// Its version.
        usher: String,
        /// Its process.
        pid: u32,
    },
    /// What parts of a process know, each in a section of its own. Said again, a section replaces
    /// what it said before.
    State {
        /// By the name of the part.
        sections: BTreeMap<String, Value>,
    },
    /// The new process accepts connections.
    Ready,
    /// The new process cannot start.
    Failed {
        /// Why, for people.
        why: String,
    },
}

/// What a listening socket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Who comes there.
    pub kind: Kind,
    /// What its listener is known by: where the configuration has it listen. The socket may know a
    /// port where that says 0.
    pub bind: String,
    /// Device and inode of the file that leads to it, when the new process is to take that away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<(u64, u64)>,
}

/// Who comes to a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Clients.
    Listener,
    /// Operators.
    Control,
    /// Prometheus.
    Metrics,
}

/// A part of usher that outlives its process.
pub trait Estate: Send + Sync {
    /// The name of its section.
    fn name(&self) -> &'static str;

    /// What the successor is told. Called once when it has been built, at a moment from which on
    /// operators can change nothing here.
    fn pack(&self) -> Value;

    /// What the successor is told once a second while this process drains, and at its end.
    fn pack_again(&self) -> Option<Value> {
        None
    }

    /// What the predecessor has told. May come again.
    ///
    /// # Errors
    /// It is not what this part packs; the part then begins anew.
    fn unpack(&self, section: Value) -> Result<(), serde_json::Error>;

    /// What a predecessor that still drains is told, as often as it changes.
    fn pack_back(&self) -> Option<Value> {
        None
    }

    /// What the successor has told while this process drains. May come again.
    ///
    /// # Errors
    /// It is not what this part packs; then nothing changes.
    fn unpack_back(&self, _section: Value) -> Result<(), serde_json::Error> {
        Ok(())
    }

    /// The predecessor has gone.
    fn predecessor_has_gone(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_reads_as_documented_and_unknown_fields_are_passed_over() {
        let text = r#"{"say":"hello","handover":1,"usher":"0.2.0","pid":7,"mood":"good",
            "sockets":[{"kind":"listener","bind":"[::]:8080","since":4}]}"#;
        let bind = "[::]:8080".to_owned();
        let hello = Message::Hello {
            handover: 1,
            usher: "0.2.0".to_owned(),
            pid: 7,
            sockets: vec![Label { kind: Kind::Listener, bind, file: None }],
        };
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), hello);
        assert_eq!(serde_json::to_string(&Message::Ready).unwrap(), r#"{"say":"ready"}"#);
        assert!(serde_json::from_str::<Message>(r#"{"say":"farewell"}"#).is_err());
    }
}
