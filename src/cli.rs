//! To be built.

pub mod status;
