//! Reading a request's body whole before an endpoint is asked for.
//!
//! Puma gathers a body before a thread takes the request, so nothing is lost by doing it here, and
//! a phone that uploads slowly holds no slot. Up to [`MEMORY_BYTES_MAX`] stay in memory, the rest
//! goes to an unnamed file. A gathered body can be sent again.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use crate::{body::Body, fault::Fault};

/// What stays in memory of one body, in bytes.
const MEMORY_BYTES_MAX: usize = 64 * 1024;

/// How much is written to or read from a file at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many bytes of bodies lie in files now, over all requests.
#[derive(Debug, Default)]
pub struct Spool(Arc<AtomicU64>);

/// A body read whole.
#[derive(Clone, Debug)]
pub struct Gathered {
    memory: Bytes,
    file: Option<Arc<Filed>>,
    trailers: Option<HeaderMap>,
}

/// Where a body goes that does not fit into memory.
#[derive(Clone, Debug)]
pub struct Room {
    /// The directory of the unnamed files.
    pub directory: PathBuf,
    /// How many bytes may lie in files at once, over all requests.
    pub bytes_max: u64,
}

/// The part of a body that lies in a file, and its share of the spool.
#[derive(Debug)]
struct Filed {
    file: File,
    bytes: u64,
    used: Arc<AtomicU64>,
}

/// A gathered body on its way to an endpoint.
struct Replay {
    memory: Bytes,
    file: Option<Arc<Filed>>,
    read_upto: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    trailers: Option<HeaderMap>,
}

// === impl Spool ===

impl Spool {
    /// Reads `body` to its end.
    ///
    /// # Errors
    /// The body's own fault, or [`Fault::BufferFull`] when there is no room or the disk fails.
    pub async fn gather(&self, mut body: Body, room: &Room) -> Result<Gathered, Fault> {
        let mut memory = BytesMut::new();
        let mut filed: Option<Filed> = None;
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) if memory.is_empty() && body.is_end_stream() && filed.is_none() => {
                    return Ok(Gathered { memory: data, file: None, trailers: None });
                }
                Ok(data) => memory.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
            let full = if filed.is_some() { CHUNK_BYTES } else { MEMORY_BYTES_MAX };
            if memory.len() > full {
                filed = Some(self.file(filed, memory.split().freeze(), room).await?);
            }
        }
        if filed.is_some() && !memory.is_empty() {
            filed = Some(self.file(filed, memory.split().freeze(), room).await?);
        }
        Ok(Gathered { memory: memory.freeze(), file: filed.map(Arc::new), trailers })
    }

    /// How many bytes lie in files now.
    pub fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Appends `bytes` to the file, which is made when there is none yet.
    #[expect(clippy::disallowed_methods, reason = "each worker bounds its blocking threads")]
    async fn file(&self, filed: Option<Filed>, bytes: Bytes, room: &Room) -> Result<Filed, Fault> {
        let more = bytes.len() as u64;
        let claim = |used: u64| used.checked_add(more).filter(|&used| used <= room.bytes_max);
        let claimed = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, claim);
        if claimed.is_err() {
            tracing::warn!(bytes_max = room.bytes_max, "no room to gather a request's body");
            return Err(Fault::BufferFull);
        }
        // From here on the share is given back by `Filed`, whatever happens.
        let used = self.0.clone();
        let directory = room.directory.clone();
        let write = move || append(filed, more, used, &bytes, &directory);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(filed)) => Ok(filed),
            Ok(Err(error)) => {
                let directory = room.directory.display();
                tracing::warn!(%error, %directory, "cannot keep a request's body");
                Err(Fault::BufferFull)
            }
            Err(_panicked) => Err(Fault::BufferFull),
        }
    }
}

// === impl Gathered ===

impl Gathered {
    /// How long it is, in bytes.
    pub fn len(&self) -> u64 {
        self.memory.len() as u64 + self.file.as_ref().map_or(0, |filed| filed.bytes)
    }

    /// The names of the fields that come after it, which only the chunked coding can carry.
    pub fn trailer_names(&self) -> Option<HeaderValue> {
        let names = self.trailers.as_ref()?.keys().map(HeaderName::as_str);
        HeaderValue::try_from(names.collect::<Vec<_>>().join(", ")).ok()
    }

    /// The body from its beginning; may be asked for again.
    pub fn body(&self) -> Body {
        if self.len() == 0 && self.trailers.is_none() {
            return Body::empty();
        }
        let Self { memory, file, trailers } = self.clone();
        Body::new(Replay { memory, file, read_upto: 0, reading: None, trailers })
    }
}

// === impl Replay ===

impl Replay {
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
        // With trailers the length must not be known, or hyper would not send them.
        if self.trailers.is_some() {
            return SizeHint::default();
        }
        let file_left = self.file.as_ref().map_or(0, |filed| filed.bytes - self.read_upto);
        SizeHint::with_exact(file_left + self.memory.len() as u64)
    }
}

// === impl Filed ===

impl Filed {
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
fn append(
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Pieces(VecDeque<Result<Frame<Bytes>, Fault>>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Fault;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn data(length: usize, fill: u8) -> Result<Frame<Bytes>, Fault> {
        Ok(Frame::data(vec![fill; length].into()))
    }

    fn room(bytes_max: u64) -> Room {
        Room { directory: std::env::temp_dir(), bytes_max }
    }

    async fn gather(
        spool: &Spool,
        pieces: impl IntoIterator<Item = Result<Frame<Bytes>, Fault>>,
    ) -> Result<Gathered, Fault> {
        let body = Body::new(Pieces(pieces.into_iter().collect()));
        spool.gather(body, &room(1 << 30)).await
    }

    async fn read(gathered: &Gathered) -> Bytes {
        gathered.body().collect().await.expect("what was gathered can be read").to_bytes()
    }

    #[tokio::test]
    async fn a_small_body_stays_in_memory() {
        let spool = Spool::default();
        let gathered = gather(&spool, [data(3, b'a'), data(4, b'b')]).await.unwrap();
        assert_eq!(gathered.len(), 7);
        assert_eq!(read(&gathered).await, "aaabbbb");
        assert_eq!(spool.used(), 0);
    }

    #[tokio::test]
    async fn a_large_body_goes_to_a_file_can_be_read_twice_and_leaves_nothing() {
        let spool = Spool::default();
        let pieces = (0..40).map(|n| data(30_000, n));
        let gathered = gather(&spool, pieces).await.unwrap();
        assert_eq!(gathered.len(), 1_200_000);
        assert!(spool.used() > 1_000_000);
        let first = read(&gathered).await;
        assert!((0..40).all(|n| first[n * 30_000..(n + 1) * 30_000].iter().all(|&b| b == n as u8)));
        assert_eq!(read(&gathered).await, first);
        drop(gathered);
        assert_eq!(spool.used(), 0);
    }

    #[tokio::test]
    async fn trailers_are_kept_and_make_the_length_unknown() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let pieces = [data(2, b'a'), Ok(Frame::trailers(trailers.clone()))];
        let gathered = gather(&Spool::default(), pieces).await.unwrap();
        assert_eq!(gathered.trailer_names(), Some(HeaderValue::from_static("x-sum")));
        assert_eq!(gathered.body().size_hint().exact(), None);
        let collected = gathered.body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
    }

    #[tokio::test]
    async fn without_room_a_body_is_refused_and_nothing_stays_claimed() {
        let spool = Spool::default();
        let pieces = (0..40).map(|n| data(30_000, n));
        let body = Body::new(Pieces(pieces.collect()));
        let refused = spool.gather(body, &room(300_000)).await.unwrap_err();
        assert_eq!(refused, Fault::BufferFull);
        assert_eq!(spool.used(), 0);
        let nowhere = Room { directory: "/nonexistent".into(), bytes_max: 1 << 30 };
        let body = Body::new(Pieces((0..40).map(|n| data(30_000, n)).collect()));
        assert_eq!(spool.gather(body, &nowhere).await.unwrap_err(), Fault::BufferFull);
        assert_eq!(spool.used(), 0);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_ends_with_its_own_fault() {
        let spool = Spool::default();
        let pieces = [data(100_000, 1), Err(Fault::BodyTimeout)];
        assert_eq!(gather(&spool, pieces).await.unwrap_err(), Fault::BodyTimeout);
        assert_eq!(spool.used(), 0);
    }
}
