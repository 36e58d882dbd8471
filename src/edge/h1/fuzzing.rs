//! What fuzzers call: requests read out of bytes that are all there. Only built for them.

use bytes::BytesMut;
use http::Request;

use crate::{
    edge::strict::trailers,
    fault::Fault,
    http1::chunked::{Decoder, Step},
    proxy::Incoming,
};

use super::{Rules, fields::Framing, head::Assembler};

/// A request that is there whole.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: Request<()>,
    /// Whether it came in chunks.
    pub chunked: bool,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// How many bytes it took.
    pub length: usize,
}

/// The first request of `bytes`, or nothing while it is not whole.
///
/// # Errors
/// Why it is refused.
pub fn read(bytes: &[u8]) -> Result<Option<Whole>, Fault> {
    let mut buffer = BytesMut::from(bytes);
    let Some(verdict) = Assembler::default().step(&mut buffer, &Rules::default()) else {
        return Ok(None);
    };
    let head = verdict.map_err(|refusal| refusal.fault)?;
    let Incoming { head: mut parts, lines, .. } = *head.request;
    lines.pour(&mut parts.headers);
    let body = match head.framing {
        Framing::None => Some(Vec::new()),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            (length <= buffer.len()).then(|| buffer.split_to(length).to_vec())
        }
        Framing::Chunked => chunks(&mut buffer)?,
    };
    let chunked = head.framing == Framing::Chunked;
    let length = bytes.len() - buffer.len();
    Ok(body.map(|body| Whole { head: Request::from_parts(parts, ()), chunked, body, length }))
}

fn chunks(buffer: &mut BytesMut) -> Result<Option<Vec<u8>>, Fault> {
    let (mut decoder, mut body) = (Decoder::new(trailers::MAX), Vec::new());
    loop {
        match decoder.step(buffer).map_err(|_| Fault::BadChunk)? {
            Step::Data(data) => body.extend_from_slice(&data),
            Step::Trailers(_) => {}
            Step::End => return Ok(Some(body)),
            Step::More => return Ok(None),
        }
    }
}
