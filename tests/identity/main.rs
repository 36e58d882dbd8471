//! Who is calling: a whole usher between clients that prove something, or try to, and an origin.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admits;
mod algorithms;
mod certified;
mod cookies;
mod issuers;
mod mutations;
mod proved;
mod recorded;
mod secrets;
mod signed;
mod signers;
mod spread;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod tokens;
mod vouched;
