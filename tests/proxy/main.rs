//! One request's way through a whole usher, between a client and an origin that do as they are
//! told.

mod ahead;
mod answers;
mod bodies;
mod checks;
mod crowds;
mod drain;
mod endings;
mod events;
mod fallback;
mod health;
mod limits;
mod manners;
mod names;
mod promises;
mod rates;
mod reload;
mod requests;
mod slots;
mod retries;
mod started;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod upstream;
mod verbs;
mod versions;
mod visitors;
mod websocket;
mod why;

use started::{GET, started};
