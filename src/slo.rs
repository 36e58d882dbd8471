//! Promises that are kept, counted and acted on.
//!
//! Pure: what a request amounts to ([`Promise::judge`]) follows from how it ended, and what budgets
//! and burn rates are follows from counts and from a time that is handed in. Who counts is
//! `meters`, who reads the clock is the house.

mod alerts;
mod gate;
mod history;
mod judge;
mod kept;
mod ledger;
mod promise;
mod ring;
pub mod rules;
mod standing;
mod status;

pub use alerts::{Alert, Alerts, EVENTS_MIN, Severity};
pub use gate::{Class, State, Thresholds, Verdict, worst};
pub use history::{Causes, History, WINDOWS};
pub use judge::{Ended, Said};
pub use kept::{Kept, KeptError};
pub use ledger::{Extent, Histories, Key, Ledger, Told};
pub use promise::{
    Aim, On, PATIENCE, Promise, WINDOW, WINDOW_MAX, WINDOW_MIN, excluded_by_default,
};
pub use ring::{Count, Ring};
pub use standing::{Standing, Sums};
pub use status::StatusSet;
