//! What became of 1xx answers.

/// What became of a 1xx answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interim {
    /// It went to the client, ahead of the final one.
    Passed,
    /// It did not: the client speaks HTTP/1.0, or has had as many as a request may have.
    Dropped,
}

// === impl Interim ===

impl Interim {
    /// All there are, in the order of their numbers.
    pub const ALL: [Interim; 2] = [Interim::Passed, Interim::Dropped];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Interim::Passed => "passed",
            Interim::Dropped => "dropped",
        }
    }
}
