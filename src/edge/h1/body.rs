//! A request's body as the service reads it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::fault::Fault;

use super::{fields::Framing, intake::Intake};

/// Reads from the connection when it is polled, and only then: back-pressure is not reading.
pub(super) struct Reader {
    intake: Arc<Mutex<Intake>>,
    turn: u64,
    left: Left,
}

#[derive(Clone, Copy, Debug)]
enum Left {
    Known(u64),
    Unknown,
    Nothing,
}

// === impl Reader ===

impl Reader {
    /// The body of `turn`.
    pub(super) fn new(intake: Arc<Mutex<Intake>>, turn: u64, framing: Framing) -> Self {
        let left = match framing {
            Framing::None => Left::Nothing,
            Framing::Length(length) => Left::Known(length),
            Framing::Chunked => Left::Unknown,
        };
        Self { intake, turn, left }
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if matches!(self.left, Left::Nothing) {
            return Poll::Ready(None);
        }
        let turn = self.turn;
        let polled = self.intake.lock().poll_frame(turn, cx);
        match (&polled, self.left) {
            (Poll::Ready(None), _) => self.left = Left::Nothing,
            (Poll::Ready(Some(Ok(frame))), Left::Known(left)) => {
                let left = left - frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = if left == 0 { Left::Nothing } else { Left::Known(left) };
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Known(left) => SizeHint::with_exact(left),
            Left::Unknown => SizeHint::new(),
            Left::Nothing => SizeHint::with_exact(0),
        }
    }
}
