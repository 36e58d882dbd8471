//! What of a request is judged by the same functions whatever it came in as.
//!
//! Strict by principle: what two readers could understand differently is refused. HTTP/1.1 and
//! HTTP/2 differ in how a head is cut into pieces, and in nothing that is decided about a piece.

pub(in crate::edge) mod host;
pub(in crate::edge) mod length;
pub(in crate::edge) mod target;
pub(in crate::edge) mod trailers;

/// The longest method that is forwarded, in bytes. Those that are registered have at most 17.
pub(in crate::edge) const METHOD_BYTES_MAX: usize = 32;
