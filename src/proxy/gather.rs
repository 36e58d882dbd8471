//! Reading a request's body whole before an endpoint is asked for.
//!
//! Puma gathers a body before a thread takes the request, so nothing is lost by doing it here, and
//! a phone that uploads slowly holds no slot. Up to [`MEMORY_BYTES_MAX`] stay in memory, the rest
//! goes to an unnamed file. A gathered body can be sent again.

mod filed;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::buffers::Share;
use crate::{body::Body, fault::Fault};

use filed::{CHUNK_BYTES, Filed, Replay, append};

/// What stays in memory of one body, in bytes.
const MEMORY_BYTES_MAX: usize = 64 * 1024;

/// How many bytes of bodies lie in files now, over all requests.
#[derive(Debug, Default)]
pub struct Spool {
    filed: Arc<AtomicU64>,
}

/// A body read whole.
#[derive(Clone, Debug)]
pub struct Gathered {
    memory: Bytes,
    file: Option<Arc<Filed>>,
    trailers: Option<HeaderMap>,
    _share: Arc<Share>,
}

/// Where a body goes that does not fit into memory.
#[derive(Clone, Debug)]
pub struct Room {
    /// The directory of the unnamed files.
    pub directory: PathBuf,
    /// How many bytes may lie in files at once, over all requests.
    pub bytes_max: u64,
}

// === impl Spool ===

impl Spool {
    /// Reads `body` to its end. What stays in memory is counted in `share`; where that may not
    /// grow, the body goes to a file at once.
    ///
    /// # Errors
    /// The body's own fault, or [`Fault::BufferFull`] when there is no room or the disk fails.
    pub async fn gather(
        &self,
        mut body: Body,
        room: &Room,
        mut share: Share,
    ) -> Result<Gathered, Fault> {
        let mut memory = BytesMut::new();
        let mut filed: Option<Filed> = None;
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data)
                    if memory.is_empty()
                        && body.is_end_stream()
                        && filed.is_none()
                        && share.may_grow() =>
                {
                    share.set(data.len() as u64);
                    let _share = Arc::new(share);
                    return Ok(Gathered { memory: data, file: None, trailers: None, _share });
                }
                Ok(data) => memory.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
            share.set(memory.len() as u64);
            let full = match (&filed, share.may_grow()) {
                (Some(_), true) => CHUNK_BYTES,
                (None, true) => MEMORY_BYTES_MAX,
                (_, false) => 0,
            };
            if memory.len() > full {
                filed = Some(self.file(filed, memory.split().freeze(), room).await?);
            }
        }
        if filed.is_some() && !memory.is_empty() {
            filed = Some(self.file(filed, memory.split().freeze(), room).await?);
        }
        share.set(memory.len() as u64);
        let (memory, file, _share) = (memory.freeze(), filed.map(Arc::new), Arc::new(share));
        Ok(Gathered { memory, file, trailers, _share })
    }

    /// How many bytes lie in files now.
    pub fn used(&self) -> u64 {
        self.filed.load(Ordering::Relaxed)
    }

    /// Appends `bytes` to the file, which is made when there is none yet.
    #[expect(clippy::disallowed_methods, reason = "each worker bounds its blocking threads")]
    async fn file(&self, filed: Option<Filed>, bytes: Bytes, room: &Room) -> Result<Filed, Fault> {
        let more = bytes.len() as u64;
        let claim = |used: u64| used.checked_add(more).filter(|&used| used <= room.bytes_max);
        let claimed = self.filed.fetch_update(Ordering::AcqRel, Ordering::Relaxed, claim);
        if claimed.is_err() {
            tracing::warn!(bytes_max = room.bytes_max, "no room to gather a request's body");
            return Err(Fault::BufferFull);
        }
        // From here on the share is given back by `Filed`, whatever happens.
        let used = self.filed.clone();
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
        self.memory.len() as u64 + self.file.as_ref().map_or(0, |filed| filed.bytes())
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
        let Self { memory, file, trailers, .. } = self.clone();
        Body::new(Replay::new(memory, file, trailers))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;

    use super::*;
    use crate::proxy::buffers::{Buffers, Kind};

    const CEILING: u64 = 1 << 20;

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
        spool.gather(body, &room(1 << 30), share()).await
    }

    fn share() -> Share {
        Arc::new(Buffers::default()).share(Kind::Request, CEILING)
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
    async fn when_all_bodies_together_have_too_much_memory_even_a_small_one_goes_to_a_file() {
        let (spool, buffers) = (Spool::default(), Arc::new(Buffers::default()));
        let gather = async || {
            let body = Body::new(Pieces([data(3, b'a'), data(4, b'b')].into()));
            let share = buffers.share(Kind::Request, CEILING);
            spool.gather(body, &room(1 << 30), share).await.unwrap()
        };
        let small = gather().await;
        assert_eq!(buffers.bytes(), 7);
        let mut others = buffers.share(Kind::Answer, CEILING);
        others.set(CEILING);
        let filed = gather().await;
        assert_eq!((spool.used(), filed.len()), (7, 7));
        assert_eq!(read(&filed).await, "aaabbbb");
        assert_eq!(buffers.shortages(), [("request", 1), ("answer", 0)]);
        drop((small, filed));
        assert_eq!(buffers.bytes(), CEILING);
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
        let refused = spool.gather(body, &room(300_000), share()).await.unwrap_err();
        assert_eq!(refused, Fault::BufferFull);
        assert_eq!(spool.used(), 0);
        let nowhere = Room { directory: "/nonexistent".into(), bytes_max: 1 << 30 };
        let body = Body::new(Pieces((0..40).map(|n| data(30_000, n)).collect()));
        assert_eq!(spool.gather(body, &nowhere, share()).await.unwrap_err(), Fault::BufferFull);
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
