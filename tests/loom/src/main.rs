//! The hand-over of slots, tried in every order in which threads can meet there.
//!
//! `slots`, `line`, `pressure` and `room` are the very files of `src/upstream`; only `sync`, which
//! they take their atomics and locks from, is loom's here. What is tried is that no slot stays free
//! while somebody waits, that none is given twice, and that a grant whose waiter has gone passes
//! on.

// What is included does more than the models try.
#![allow(dead_code)]

#[path = "../../../src/upstream/line.rs"]
mod line;
#[path = "../../../src/upstream/pressure.rs"]
mod pressure;
#[path = "../../../src/upstream/room.rs"]
mod room;
#[path = "../../../src/upstream/slots.rs"]
mod slots;
mod sync;

mod models;

fn main() {
    for (name, model) in models::ALL {
        print!("{name} ... ");
        model();
        println!("holds");
    }
}
