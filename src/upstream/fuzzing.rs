//! What fuzzers call: answers read as from an endpoint. Only built for them.

use std::future::poll_fn;

use http::Request;
use tokio::{io::AsyncWriteExt, net::UnixStream, runtime::Builder};

use super::{
    connection::Connection,
    wire::{Socket, Stream},
};
use crate::{body::Body, http1::lines::Lines};

/// An answer that was taken for whole.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: http::response::Parts,
    /// Its body, decoded.
    pub body: Vec<u8>,
}

/// What an endpoint has answered to a GET that says `bytes`, in pieces of at most `piece`, and then
/// closes; nothing when that is refused or breaks off.
pub fn answer(bytes: &[u8], piece: usize) -> Option<Whole> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let (ours, mut theirs) = UnixStream::pair().ok()?;
        let mut connection = Connection::alone(Stream::Plain(Socket::Unix(ours)));
        let request = Request::get("/").header("host", "a").body(()).ok()?;
        connection.send(&request.into_parts().0, &Lines::default(), Body::empty());
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
            let mut connection = connection;
            let head = poll_fn(|cx| connection.poll_answer(cx, |_, _| {})).await.ok()?;
            let (mut head, mut body) = (head.into_parts().0, Vec::new());
            connection.take_lines().pour(&mut head.headers);
            while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
                if let Ok(data) = frame.ok()?.into_data() {
                    body.extend_from_slice(&data);
                }
            }
            Some(Whole { head, body })
        };
        tokio::join!(saying, reading).1
    })
}
