//! What usher allows itself and others: pure rules, for which time is an argument.

pub mod rate;
pub mod retry;
pub mod sticky;
pub mod versions;
