//! What holds whatever a client speaks: a test that is added here runs three times. What only
//! HTTP/1.1 can say belongs to `http1`.

pub mod ahead;
pub mod answers;
pub mod between_workers;
pub mod bodies;
pub mod callers;
pub mod checks;
pub mod drain;
pub mod endings;
pub mod events;
pub mod fallback;
pub mod graphql;
pub mod health;
pub mod limits;
pub mod manners;
pub mod names;
pub mod promises;
pub mod rates;
pub mod reload;
pub mod requests;
pub mod retries;
pub mod sharing;
pub mod slots;
pub mod started;
#[path = "../support/mod.rs"]
pub mod support;
pub mod times;
pub mod upstream;
pub mod verbs;
pub mod versions;
pub mod visitors;
pub mod websocket;
pub mod why;

pub use started::{GET, started};
