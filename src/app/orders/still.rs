//! Orders stand still while another process takes over: what that one is told is all there is.
//!
//! Otherwise an order that is carried out after the successor was told what is in force, and before
//! it serves, would be answered as done and forgotten.

use std::sync::atomic::Ordering;

use tokio::sync::SemaphorePermit;

use super::Orders;

/// What is told to whoever gives an order meanwhile, or to the process that has handed over.
pub(in crate::app) const GONE: &str = "Another usher is taking over: say it once more.";

/// As long as it lives, orders wait.
#[must_use]
pub(in crate::app) struct Still<'a> {
    orders: &'a Orders,
    for_good: bool,
    /// None never: the semaphore is not closed.
    _turn: Option<SemaphorePermit<'a>>,
}

// === impl Orders ===

impl Orders {
    /// Lets the order end that is being carried out, and has others wait.
    pub(in crate::app) async fn stand_still(&self) -> Still<'_> {
        let turn = self.turn.acquire().await.ok();
        self.still.store(true, Ordering::Release);
        Still { orders: self, for_good: false, _turn: turn }
    }

    /// Whether orders wait, or are another process's.
    pub(in crate::app) fn are_still(&self) -> bool {
        self.still.load(Ordering::Acquire)
    }

    /// Keeps over a restart what another process has ordered: it may have kept that elsewhere, or
    /// not at all.
    pub(in crate::app) async fn keep_inherited(&self) {
        let _turn = self.turn.acquire().await;
        if self.store.is_some() {
            self.keep().await;
        }
    }
}

// === impl Still ===

impl Still<'_> {
    /// Another process has taken over: who waits hears so, and whoever comes from now on.
    pub(in crate::app) fn for_good(mut self) {
        self.for_good = true;
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.orders.still.store(self.for_good, Ordering::Release);
    }
}
