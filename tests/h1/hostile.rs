//! Input that must not pass.
