//! Configurations and what is said about them, word for word.
//!
//! `tests/config/invalid` and `tests/config/valid` hold one configuration a file, and beside each
//! what `usher check` says about it. `USHER_BLESS=1 cargo test --test config` writes down what is
//! said now.

mod config {
    mod commands;
    mod golden;
    mod keys;
    mod loading;
    mod robustness;
}
