//! To be built.
pub mod h1;
