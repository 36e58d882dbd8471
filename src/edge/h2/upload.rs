//! A request's body as the service reads it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    deadline::Deadline,
    edge::{pace::Pace, strict::trailers},
    fault::Fault,
};

use super::streams::Common;

/// Reads from the stream when it is polled, and only then: what nobody asks for stays within the
/// stream's window.
pub(super) struct Upload {
    stream: RecvStream,
    common: Arc<Common>,
    left: Option<u64>,
    bytes: u64,
    word: Option<Word>,
    pace: Pace,
    late: Option<Deadline>,
    /// Bytes of bodies that the connection had brought when the pace was looked at.
    seen: u64,
    ended: bool,
}

/// `100 Continue`: asked for by who reads the body, said by who answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Word(Arc<Mutex<Saying>>);

#[derive(Debug, Default)]
struct Saying {
    asked: bool,
    speaker: Option<Waker>,
}

// === impl Upload ===

impl Upload {
    /// The body that comes on `stream`. It says that it is `length` bytes long, which the `h2`
    /// crate holds it to; `word` is what its client waits for.
    pub(super) fn new(
        stream: RecvStream,
        common: Arc<Common>,
        length: Option<u64>,
        word: Option<Word>,
    ) -> Self {
        Self {
            stream,
            left: length,
            bytes: 0,
            word,
            pace: Pace::new(common.rules.body_rate),
            late: None,
            seen: common.watch.of_bodies(),
            common,
            ended: false,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    if let Some(taken) = self.take(data) {
                        return Poll::Ready(Some(taken));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(fault_of(&error)))),
                Poll::Ready(None) => return self.poll_trailers(cx),
                Poll::Pending => {
                    if let Some(word) = self.word.take() {
                        word.ask();
                    }
                    return self.poll_late(cx).map(|()| Some(Err(Fault::BodyTimeout)));
                }
            }
        }
    }

    /// Takes one piece, and makes room for another.
    fn take(&mut self, data: Bytes) -> Option<Result<Frame<Bytes>, Fault>> {
        // It fails only where the stream has ended, which the next look at it tells.
        let _ = self.stream.flow_control().release_capacity(data.len());
        self.credit();
        let bytes = data.len() as u64;
        self.bytes += bytes;
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        if self.bytes > self.common.rules.body_bytes {
            return Some(Err(Fault::BodyTooLarge));
        }
        (bytes > 0).then(|| Ok(Frame::data(data)))
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.ended = true;
        Poll::Ready(match trailers {
            Ok(fields) => {
                let passing = fields.map(trailers::passing).filter(|fields| !fields.is_empty());
                passing.map(|fields| Ok(Frame::trailers(fields)))
            }
            Err(error) => Some(Err(fault_of(&error))),
        })
    }

    /// The client is slow when its whole connection brings too little: streams share what a client
    /// can send, and a frame that has not come whole shows in no stream.
    fn credit(&mut self) {
        let brought = self.common.watch.of_bodies();
        let bytes = usize::try_from(brought - self.seen).unwrap_or(usize::MAX);
        self.seen = brought;
        if bytes > 0 {
            self.pace.arrived(bytes, Instant::now);
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.credit();
            if let Some(at) = self.pace.wait(Instant::now()) {
                match &mut self.late {
                    Some(late) => late.reset(at),
                    None => self.late = Some(self.common.wheel.at(at)),
                }
            }
            let Some(late) = &mut self.late else { return Poll::Pending };
            ready!(Pin::new(late).poll(cx));
            if self.common.watch.of_bodies() == self.seen {
                return Poll::Ready(());
            }
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.poll_next(cx));
        if !matches!(polled, Some(Ok(_))) {
            self.ended = true;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::new(),
        }
    }
}

// === impl Word ===

impl Word {
    /// The body is wanted.
    fn ask(&self) {
        let mut saying = self.0.lock();
        saying.asked = true;
        if let Some(speaker) = saying.speaker.take() {
            speaker.wake();
        }
    }

    /// Whether it is to be said now; the task is woken when it is.
    pub(super) fn is_due(&self, cx: &mut Context<'_>) -> bool {
        let mut saying = self.0.lock();
        if !saying.asked {
            saying.speaker = Some(cx.waker().clone());
        }
        saying.asked
    }
}

/// What the crate resets itself is a body that breaks its own length; all else is the client's end.
fn fault_of(error: &h2::Error) -> Fault {
    if error.is_reset() && error.is_library() { Fault::BadFraming } else { Fault::ClientLeft }
}
