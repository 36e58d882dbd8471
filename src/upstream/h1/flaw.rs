//! What makes an answer one that is not passed on.

use super::head::{FIELDS_MAX, HEADS_BYTES_MAX, INTERIM_MAX};

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// RFC 9112 §2.2 lets a reader take it for the end of a line; not all do.
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    /// Only servers may be sent one (RFC 9112 §2.2): something is left of what came before.
    #[error("an empty line stands before the status line")]
    EmptyLine,
    /// It begins as something else.
    #[error("it is not an answer of HTTP/1.0 or HTTP/1.1")]
    NotHttp,
    /// RFC 9112 §4.
    #[error("the status line is malformed")]
    StatusLine,
    /// RFC 9112 §5.
    #[error("a field is malformed, or there are more than {FIELDS_MAX}")]
    Fields,
    /// RFC 9112 §6.3 lets a proxy guess where it ends; others guess differently.
    #[error("it does not say clearly where it ends")]
    Framing,
    /// The 1xx answers do not end.
    #[error("more than {INTERIM_MAX} interim answers")]
    Flood,
    /// Memory is bounded.
    #[error("more than {HEADS_BYTES_MAX} bytes of head")]
    TooLarge,
    /// RFC 9112 §7.1.
    #[error("its chunks, or the fields behind them, are malformed or without bounds")]
    Chunks,
}
