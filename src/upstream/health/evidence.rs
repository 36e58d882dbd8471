//! What speaks against an endpoint, and what follows from it, in words for people.

use std::fmt;

use crate::units::Percent;

/// Something that went wrong with a request at an endpoint, and is the endpoint's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It refused a connection: nobody listens there, or not for usher.
    Refused,
    /// No connection could be made in time, or its network is gone.
    Unreachable,
    /// No TLS with it: one side does not believe the other, or it speaks none.
    Untrusted,
    /// It closed a new connection before the first byte of an answer.
    Broke,
    /// It did not begin its answer in time.
    Late,
    /// Its answer broke off, or paused too long.
    BrokeOff,
    /// What it said was not HTTP, or not what may be passed on.
    Malformed,
    /// Its answer had this status, of 500 or above.
    Status(u16),
}

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// It refused a connection.
    Refused,
    /// So many failures in a row, and the last of them.
    InRow {
        /// How many.
        count: u32,
        /// The last one.
        last: Evidence,
    },
    /// This share of its requests failed, of so many.
    Share {
        /// The share, from 0 to 1.
        share: f64,
        /// Of how many requests.
        of: u64,
    },
}

// === impl Evidence ===

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Refused => f.write_str("refused a connection"),
            Evidence::Unreachable => f.write_str("took no connection in time"),
            Evidence::Untrusted => f.write_str("failed the TLS handshake"),
            Evidence::Broke => f.write_str("closed before it answered"),
            Evidence::Late => f.write_str("did not begin its answer in time"),
            Evidence::BrokeOff => f.write_str("broke its answer off"),
            Evidence::Malformed => f.write_str("answered what is not HTTP"),
            Evidence::Status(status) => write!(f, "answered {status}"),
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Whether it is about connections, so that a check that gets an answer refutes it.
    pub fn is_unreachable(self) -> bool {
        match self {
            Cause::Refused => true,
            Cause::InRow { last, .. } => {
                matches!(last, Evidence::Unreachable | Evidence::Refused | Evidence::Untrusted)
            }
            Cause::Share { .. } => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Refused => f.write_str("it refused a connection"),
            Cause::InRow { count: 1, last } => write!(f, "it {last} again"),
            Cause::InRow { count, last } => {
                write!(f, "{count} failures in a row, the last: it {last}")
            }
            Cause::Share { share, of } => {
                let percent = Percent::of_share(share);
                write!(f, "{percent} of {of} requests failed")
            }
        }
    }
}
