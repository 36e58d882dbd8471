//! What was counted for promises, and what was decided by it.

use serde_json::Value;

use crate::{
    app::{books::Books, sight::HouseSight},
    handover::Estate,
};

/// What was counted.
pub(super) struct Promises<'a>(pub &'a Books);

/// The gate: its states, overrides and annotations.
pub(super) struct Gate<'a>(pub &'a HouseSight);

// === impl Promises ===

impl Estate for Promises<'_> {
    fn name(&self) -> &'static str {
        "promises"
    }

    fn pack(&self) -> Value {
        self.0.pack()
    }

    fn pack_again(&self) -> Option<Value> {
        Some(self.0.pack_changes())
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        self.0.unpack(&section)
    }

    fn predecessor_has_gone(&self) {
        self.0.predecessor_has_gone();
    }
}

// === impl Gate ===

impl Estate for Gate<'_> {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn pack(&self) -> Value {
        self.0.books().gate().pack()
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        self.0.books().gate().unpack(&section)
    }
}
