//! The `usher` binary as one runs it: what it prints, where, and with which exit code.
//!
//! Transport: HTTP/1.1 in plain text where there are clients at all; this is about the command
//! line.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod support;

#[path = "command/certificates.rs"]
mod certificates;
#[path = "command/descriptors.rs"]
mod descriptors;
#[path = "command/explains.rs"]
mod explains;
#[path = "command/generates.rs"]
mod generates;
#[path = "command/operates.rs"]
mod operates;
#[path = "command/pages.rs"]
mod pages;
#[path = "command/permissions.rs"]
mod permissions;
#[path = "command/promises.rs"]
mod promises;
#[path = "command/refuses.rs"]
mod refuses;
#[path = "command/serves.rs"]
mod serves;
#[path = "command/spreads.rs"]
mod spreads;
#[path = "command/versions.rs"]
mod versions;
