//! What is said of a connection that has ended.

use h2::Reason;

use crate::meters::Http2End;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Why.
    pub end: Http2End,
    /// Requests that were refused before anything else than HTTP/2 was known of them.
    pub refused: u64,
}

/// Why a connection ended that ended with `error`.
pub(super) fn of_error(error: &h2::Error) -> Http2End {
    match error.reason() {
        Some(_) if error.is_remote() => Http2End::Closed,
        Some(Reason::NO_ERROR) => Http2End::Closed,
        Some(Reason::ENHANCE_YOUR_CALM) => Http2End::EnhanceYourCalm,
        Some(Reason::FLOW_CONTROL_ERROR) => Http2End::FlowControlError,
        Some(Reason::FRAME_SIZE_ERROR) => Http2End::FrameSizeError,
        Some(Reason::COMPRESSION_ERROR) => Http2End::CompressionError,
        Some(_) => Http2End::ProtocolError,
        None => Http2End::Broke,
    }
}
