//! What fuzzers call: answers read as from an endpoint. Only built for them.

use http::Request;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::{io::AsyncWriteExt, net::UnixStream, runtime::Builder};

use super::{
    connect::adopt,
    heads::Asked,
    wire::{Socket, Stream},
};
use crate::body::Body;

/// An answer that was taken for whole.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: http::response::Parts,
    /// Its body, decoded.
    pub body: Vec<u8>,
}

/// What an endpoint has answered to a GET that says `bytes`, in pieces of at most `piece`, and then
/// closes; nothing when that is refused or breaks off. `clear` judges a head from outside.
pub fn answer(
    bytes: &[u8],
    piece: usize,
    clear: impl Fn(&http::HeaderMap) -> bool,
) -> Option<Whole> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let (ours, mut theirs) = UnixStream::pair().ok()?;
        let mut connection = adopt(Stream::Plain(Socket::Unix(ours))).await.ok()?;
        let request = Request::get("/").header("host", "a").body(Body::empty()).ok()?;
        let sending = connection.send(Asked::All, request);
        let saying = async {
            for part in bytes.chunks(piece.max(1)) {
                // A refused answer closes the connection before all of it has been said.
                if theirs.write_all(part).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = theirs.shutdown().await;
        };
        let reading = async {
            let response: Response<Incoming> = sending.await.ok()?;
            if !clear(response.headers()) {
                return None;
            }
            let (head, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes().to_vec();
            Some(Whole { head, body })
        };
        tokio::join!(saying, reading).1
    })
}
