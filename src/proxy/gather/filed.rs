//! The part of a gathered body that does not fit into memory, and its way out again.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::fault::Fault;

/// How much is written to or read from a file at once, in bytes.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// The part of a body that lies in a file, and its share of the spool.
#[derive(Debug)]
pub(super) struct Filed {
    file: File,
    bytes: u64,
    used: Arc<AtomicU64>,
}

/// A gathered body on its way to an endpoint.
pub(super) struct Replay {
    memory: Bytes,
    file: Option<Arc<Filed>>,
    read_upto: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    trailers: Option<HeaderMap>,
}

// === impl Replay ===

impl Replay {
    /// What lies in `file`, then `memory`, then `trailers`.
    pub(super) fn new(
        memory: Bytes,
        file: Option<Arc<Filed>>,
        trailers: Option<HeaderMap>,
    ) -> Self {
        Self { memory, file, read_upto: 0, reading: None, trailers }
    }

    /// The next piece of the file, or `None` at its end.
    #[expect(clippy::disallowed_methods, reason = "each worker bounds its blocking threads")]
    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(filed) = &self.file else { return Poll::Ready(None) };
        if self.read_upto == filed.bytes {
            return Poll::Ready(None);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (filed, from) = (filed.clone(), self.read_upto);
            tokio::task::spawn_blocking(move || filed.read_at(from))
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let piece = read.unwrap_or_else(|_panicked| Err(io::ErrorKind::Other.into()));
        if let Ok(piece) = &piece {
            self.read_upto += piece.len() as u64;
        }
        Poll::Ready(Some(piece))
    }
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(piece) = ready!(self.poll_file(cx)) {
            return Poll::Ready(Some(piece.map(Frame::data).map_err(|_| Fault::BufferFull)));
        }
        let memory = std::mem::take(&mut self.memory);
        if !memory.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(memory))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let file_left = self.file.as_ref().map_or(0, |filed| filed.bytes - self.read_upto);
        file_left == 0 && self.memory.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Over HTTP/2 a length that is known would end the body ahead of its trailers.
        if self.trailers.is_some() {
            return SizeHint::default();
        }
        let file_left = self.file.as_ref().map_or(0, |filed| filed.bytes - self.read_upto);
        SizeHint::with_exact(file_left + self.memory.len() as u64)
    }
}

// === impl Filed ===

impl Filed {
    /// How long it is, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, from: u64) -> io::Result<Bytes> {
        let want = (self.bytes - from).min(CHUNK_BYTES as u64) as usize;
        let mut piece = vec![0; want];
        self.file.read_exact_at(&mut piece, from)?;
        Ok(piece.into())
    }
}

impl Drop for Filed {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Writes `bytes`, whose share `more` of the spool has been claimed.
pub(super) fn append(
    filed: Option<Filed>,
    more: u64,
    used: Arc<AtomicU64>,
    bytes: &[u8],
    directory: &Path,
) -> io::Result<Filed> {
    let mut filed = match filed {
        Some(mut filed) => {
            filed.bytes += more;
            filed
        }
        None => match tempfile::tempfile_in(directory) {
            Ok(file) => Filed { file, bytes: more, used },
            Err(error) => {
                used.fetch_sub(more, Ordering::AcqRel);
                return Err(error);
            }
        },
    };
    filed.file.write_all(bytes)?;
    Ok(filed)
}
