//! The real usher in front of the real monolith: the food-delivery shop on five Pumas, asked by
//! many at once, scraped by a real Prometheus, and hurt.
//!
//! Transport: HTTP/1.1 in plain text; this is about Puma and Rails.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod support;

#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/puma.rs"]
mod puma;

#[path = "monolith/cable.rs"]
mod cable;
#[path = "monolith/counted.rs"]
mod counted;
#[path = "monolith/killed.rs"]
mod killed;
#[path = "monolith/ledger.rs"]
mod ledger;
#[path = "monolith/mixed.rs"]
mod mixed;
#[path = "monolith/scraped.rs"]
mod scraped;
#[path = "monolith/shop.rs"]
mod shop;
#[path = "monolith/stopped.rs"]
mod stopped;
#[path = "monolith/visitor.rs"]
mod visitor;
