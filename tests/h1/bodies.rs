//! Bodies, both ways.
