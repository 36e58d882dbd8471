//! What holds whatever a client speaks: a test that is added here runs three times.

pub mod between_workers;
pub mod http2;
pub mod interim;
pub mod introductions;
pub mod origin2;
pub mod started;
#[path = "../support/mod.rs"]
pub mod support;
pub mod tls;
pub mod vault;
pub mod websocket;

pub use started::{House, said, text};
