//! What tests stand on: usher on free ports, in this process or as the real binary, an origin that
//! does as it is told, and a client that says exactly what it is given.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

pub mod authority;
pub mod binary;
pub mod client;
pub mod gateway;
pub mod http2;
pub mod log;
pub mod names;
pub mod orders;
pub mod origin;
pub mod usher;
pub mod wire;
