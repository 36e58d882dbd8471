//! What usher reads and writes alike towards clients and towards endpoints in HTTP/1.1.
//!
//! Strict by principle: what two readers could understand differently is refused. What a refusal
//! means, and for whom, is said by those who read.

pub mod chunked;
pub mod cut;
pub mod fields;
pub mod lines;
pub mod names;
pub mod spelling;
pub mod text;
