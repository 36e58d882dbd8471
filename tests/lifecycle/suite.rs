//! What clients meet whatever they speak: a test that is added here runs three times.

pub mod kit;
pub mod load;
pub mod show;
pub mod streams;
#[path = "../support/mod.rs"]
pub mod support;
pub mod upgrade;
