//! The tests of `lifecycle` that hold whatever a client speaks, over TLS, and what holds only
//! there.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "lifecycle/suite.rs"]
mod suite;
#[path = "lifecycle/tickets.rs"]
mod tickets;

use suite::*;
