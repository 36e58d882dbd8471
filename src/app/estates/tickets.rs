//! What seals the tickets of TLS, so that clients resume their sessions with the new process.
//!
//! It is said once, while nobody is accepted here yet: keys that turn in the old process after that
//! are those of connections that it finishes.

use serde::de::Error as _;
use serde_json::{Error, Value};

use crate::{app::sight::HouseSight, handover::Estate, snapshot::Hosts, tls::KeptTickets};

/// Those of all listeners.
pub(super) struct Tickets<'a>(pub &'a HouseSight);

// === impl Tickets ===

impl Tickets<'_> {
    fn hosts(&self) -> &Hosts {
        self.0.orders().world().hosts()
    }
}

impl Estate for Tickets<'_> {
    fn name(&self) -> &'static str {
        "tickets"
    }

    fn pack(&self) -> Value {
        // Nothing in it has no JSON.
        serde_json::to_value(self.hosts().keep()).unwrap_or_default()
    }

    fn unpack(&self, section: Value) -> Result<(), Error> {
        let kept: Vec<KeptTickets> = serde_json::from_value(section)
            // Who complains of a value shows it, and it may be a key.
            .map_err(|_| Error::custom("these are no keys of tickets"))?;
        self.hosts().take_over(&kept);
        Ok(())
    }
}
