//! How connections over HTTP/2 end.

/// Why a connection over HTTP/2 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Http2End {
    /// The client closed it, or said why it leaves.
    Closed,
    /// It had no streams for too long.
    Idle,
    /// It was too old.
    Age,
    /// usher stopped.
    Drained,
    /// It broke: a reset, or an end in the middle of something.
    Broke,
    /// The preface, a head or another frame that is no body did not come in time.
    HeadTimeout,
    /// The client took nothing of what was written for too long.
    WriteStalled,
    /// The client had open streams and did not answer a ping.
    PingTimeout,
    /// Too many requests were taken back.
    Resets,
    /// Too many SETTINGS, PING, PRIORITY, CONTINUATION or unknown frames came.
    ControlFrames,
    /// Too many WINDOW_UPDATE frames came for what was sent.
    WindowUpdates,
    /// The client broke RFC 9113.
    ProtocolError,
    /// The client sent more than there was room for, or gave more room than there can be.
    FlowControlError,
    /// A frame had a size that it must not have.
    FrameSizeError,
    /// The compression of heads broke.
    CompressionError,
    /// The client did too much of what is allowed: resets that it causes, empty or tiny DATA
    /// frames, heads in many pieces or far larger than allowed.
    EnhanceYourCalm,
}

// === impl Http2End ===

impl Http2End {
    /// Every end there is, in the order of their numbers.
    pub const ALL: [Http2End; 16] = [
        Http2End::Closed,
        Http2End::Idle,
        Http2End::Age,
        Http2End::Drained,
        Http2End::Broke,
        Http2End::HeadTimeout,
        Http2End::WriteStalled,
        Http2End::PingTimeout,
        Http2End::Resets,
        Http2End::ControlFrames,
        Http2End::WindowUpdates,
        Http2End::ProtocolError,
        Http2End::FlowControlError,
        Http2End::FrameSizeError,
        Http2End::CompressionError,
        Http2End::EnhanceYourCalm,
    ];

    /// The word used in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Http2End::Closed => "closed",
            Http2End::Idle => "idle",
            Http2End::Age => "age",
            Http2End::Drained => "drained",
            Http2End::Broke => "broke",
            Http2End::HeadTimeout => "head_timeout",
            Http2End::WriteStalled => "write_stalled",
            Http2End::PingTimeout => "ping_timeout",
            Http2End::Resets => "resets",
            Http2End::ControlFrames => "control_frames",
            Http2End::WindowUpdates => "window_updates",
            Http2End::ProtocolError => "protocol_error",
            Http2End::FlowControlError => "flow_control_error",
            Http2End::FrameSizeError => "frame_size_error",
            Http2End::CompressionError => "compression_error",
            Http2End::EnhanceYourCalm => "enhance_your_calm",
        }
    }

    /// Whether no client that means well ends so.
    pub const fn is_hostile(self) -> bool {
        match self {
            Http2End::Closed
            | Http2End::Idle
            | Http2End::Age
            | Http2End::Drained
            | Http2End::Broke
            | Http2End::HeadTimeout
            | Http2End::WriteStalled
            | Http2End::PingTimeout => false,
            Http2End::Resets
            | Http2End::ControlFrames
            | Http2End::WindowUpdates
            | Http2End::ProtocolError
            | Http2End::FlowControlError
            | Http2End::FrameSizeError
            | Http2End::CompressionError
            | Http2End::EnhanceYourCalm => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_stands_at_its_number() {
        for (n, end) in Http2End::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, n, "{}", end.name());
        }
    }
}
