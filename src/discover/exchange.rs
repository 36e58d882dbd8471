//! One query and its answer: over UDP, and over TCP where the answer is too large.

#![expect(clippy::disallowed_methods, reason = "names are asked for by the house, not by workers")]

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::base::iana::Rcode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    Failure,
    message::{Query, Records, Reply, UDP_BYTES},
};

/// What a name server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The name has these records; maybe none of the kind that was asked for.
    Records(Records),
    /// There is no such name.
    NoName,
}

/// Asks `server`, and waits for its answer for `wait` at most.
///
/// # Errors
/// It cannot be reached, is late, or answers with nothing that can be used.
pub(super) async fn ask(
    server: SocketAddr,
    query: &Query,
    wait: Duration,
) -> Result<Said, Failure> {
    let answered = timeout(wait, ask_in_time(server, query)).await;
    answered.map_err(|_late| Failure::Late(server))?
}

async fn ask_in_time(server: SocketAddr, query: &Query) -> Result<Said, Failure> {
    let unreachable = |error| Failure::Unreachable(server, Arc::new(error));
    let reply = by_datagram(server, query, true).await.map_err(unreachable)?;
    let reply = match reply {
        // Who does not know extensions is asked without (RFC 6891 §7).
        Some(Reply::Refused(Rcode::FORMERR | Rcode::NOTIMP)) => {
            by_datagram(server, query, false).await.map_err(unreachable)?
        }
        reply => reply,
    };
    let reply = match reply {
        Some(Reply::Truncated) => by_stream(server, query).await.map_err(unreachable)?,
        reply => reply,
    };
    match reply {
        Some(Reply::Records(records)) => Ok(Said::Records(records)),
        Some(Reply::NoName) => Ok(Said::NoName),
        Some(Reply::Refused(rcode)) => Err(Failure::Refused { server, rcode }),
        Some(Reply::Truncated) | None => Err(Failure::Malformed(server)),
    }
}

/// A socket of its own for each query: its port is as hard to guess as its id.
async fn by_datagram(
    server: SocketAddr,
    query: &Query,
    extended: bool,
) -> io::Result<Option<Reply>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id = draw_id()?;
    socket.send(&query.compose(id, extended)).await?;
    let mut buffer = [0; UDP_BYTES as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this may come from anybody: the answer is still waited for.
        if let Some(reply) = query.read(id, &buffer[..length]) {
            return Ok(reply.ok());
        }
    }
}

async fn by_stream(server: SocketAddr, query: &Query) -> io::Result<Option<Reply>> {
    let mut stream = TcpStream::connect(server).await?;
    let id = draw_id()?;
    let message = query.compose(id, false);
    // A query for one name is far shorter than its length can say.
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Ok(query.read(id, &buffer).and_then(Result::ok))
}

/// From the kernel: an id that can be guessed lets others answer.
fn draw_id() -> io::Result<u16> {
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(id))
}
