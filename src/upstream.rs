//! Where the monolith is: addresses, endpoints, pools, and each worker's connections to them.
//!
//! This floor knows nothing of audiences. It hands out an endpoint, a lease and a connection; what
//! to do when one of them breaks is decided above.

mod address;
mod balance;
mod chunks;
mod connect;
mod connections;
mod endpoint;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heads;
mod health;
mod pool;
mod wire;

pub use address::Address;
pub use balance::{Member, Members};
pub use connect::{ConnectError, connect};
pub use connections::{Connection, Connections};
pub use endpoint::{Endpoint, Endpoints, Lease, Trouble};
pub use heads::{Asked, Flaw};
pub use health::{Cause, Event, Evidence, Health, Journal, Report, Standing, Totals};
pub use pool::{Pool, RESOLVE_EVERY, Resolution};
