//! Who is behind a load balancer that passes bytes on: the PROXY header, before anything else.
//!
//! A listener either requires one from everybody, who then has to lie within `trusted_proxies`, or
//! takes none. It is never guessed: a client could send one as well.

use std::io;

use tokio::io::AsyncReadExt;

use super::{
    census::{Introduction, Place},
    house::House,
    stream::Socket,
};
use crate::{
    peer::{Client, Peer},
    proxy_protocol::{self, HeaderError, Progress, Source},
};

/// Why nobody was introduced.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntroduceError {
    /// The peer may not send a header, and nothing else is taken here.
    #[error("no PROXY header is taken from this address")]
    Untrusted,
    /// What came is no header.
    #[error(transparent)]
    Malformed(#[from] HeaderError),
    /// The client behind has as many connections as it may.
    #[error("{0} has too many connections")]
    Crowded(Client),
    /// The peer left.
    #[error(transparent)]
    Left(#[from] io::Error),
}

// === impl IntroduceError ===

impl IntroduceError {
    /// What it is counted as.
    pub(super) fn counted(&self) -> Introduction {
        match self {
            IntroduceError::Untrusted => Introduction::Untrusted,
            IntroduceError::Crowded(_) => Introduction::Client,
            IntroduceError::Malformed(_) | IntroduceError::Left(_) => Introduction::Malformed,
        }
    }
}

/// Reads the header to its exact end; its source is the peer from then on.
pub(super) async fn introduce(
    socket: &mut Socket,
    peer: Peer,
    house: &House,
    place: &mut Place,
) -> Result<Peer, IntroduceError> {
    if !peer.trusted {
        return Err(IntroduceError::Untrusted);
    }
    let Source::Client { source, destination } = read(socket).await? else {
        place.introduced(Introduction::Sender);
        return Ok(peer);
    };
    let client = Client::from(source.ip());
    let trusted = house.trusts(client);
    if !trusted && !place.belongs_to(client, house.per_client) {
        return Err(IntroduceError::Crowded(client));
    }
    place.introduced(Introduction::Client);
    Ok(Peer { address: Some(source), local: Some(destination), trusted, ..peer })
}

async fn read(socket: &mut Socket) -> Result<Source, IntroduceError> {
    let mut header = Vec::new();
    loop {
        let more = match proxy_protocol::look(&header)? {
            Progress::Whole(source) => return Ok(source),
            Progress::More(more) => more,
        };
        let had = header.len();
        header.resize(had + more, 0);
        let read = socket.read(&mut header[had..]).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        header.truncate(had + read);
    }
}
