//! What holds whatever a client speaks: a test that is added here runs three times. What holds
//! within TLS whatever is spoken there belongs to `https` and `visitors`.

pub mod introductions;
pub mod stacks;
pub mod started;
#[path = "../support/mod.rs"]
pub mod support;

pub use started::{House, secure};
