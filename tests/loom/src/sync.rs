//! What `src/upstream/sync.rs` brings, as loom has it.

use loom::sync::MutexGuard;
pub use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

/// A lock without poison.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

// === impl Mutex ===

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no model panics with a lock in hand")
    }
}
