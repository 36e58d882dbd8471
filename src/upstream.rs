//! Where the monolith is: addresses, endpoints, pools, and each worker's connections to them.
//!
//! This floor knows nothing of audiences. It hands out an endpoint, a lease and a connection; what
//! to do when one of them breaks is decided above.

mod address;
mod balance;
mod broken;
mod connect;
mod connection;
mod connections;
mod dialect;
mod endpoint;
#[cfg(fuzzing)]
pub mod fuzzing;
mod greeting;
mod guests;
mod h1;
mod health;
mod kept;
mod latency;
mod lease;
mod line;
mod pool;
mod pressure;
mod queue;
mod room;
mod seated;
mod shelves;
mod slots;
mod stake;
mod switched;
mod sync;
mod trunk;
mod warm;
mod wire;

pub use address::Address;
pub use balance::{Asking, Lacking, Member, Members};
pub use broken::Broken;
pub use connect::{ConnectError, Way, connect, reach};
pub use connection::Connection;
pub use connections::{Connections, Home, Spare};
pub use dialect::{Behalf, Dialect};
pub use endpoint::{Endpoint, Endpoints, Trouble, TunnelTo};
pub use guests::{GuestPlace, Guests, Welcome};
pub use h1::Flaw;
pub use health::{
    Cause, Complaint, Event, Evidence, Health, Journal, Report, Standing, Totals, check,
};
pub use kept::Kept;
pub use latency::clock_ms;
pub use lease::Lease;
pub use line::Terms as Patience;
pub use pool::{Pool, Retries, Terms};
pub use queue::{Grant, Queue, Refused, StreamPlace, Waiting};
pub use shelves::Shelves;
pub use stake::Stake;
pub use switched::Switched;
pub use trunk::Break;
