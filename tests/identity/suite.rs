//! What holds whatever a client speaks: a test that is added here runs three times. What a client
//! shows within TLS belongs to `certified`, what has no client to `main`.

pub mod admits;
pub mod cookies;
pub mod issuers;
pub mod proved;
pub mod recorded;
pub mod secrets;
pub mod signed;
pub mod spread;
#[path = "../support/mod.rs"]
pub mod support;
pub mod tables;
pub mod tokens;
pub mod vouched;
