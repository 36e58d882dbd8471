//! What the hand-over of slots is made of.
//!
//! `tests/loom` includes `slots` and `room` with a module of this name that brings loom's types,
//! and tries every order in which two threads can meet there.

pub use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

pub use parking_lot::Mutex;
