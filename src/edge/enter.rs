//! From an accepted socket to a stream whose first byte is HTTP.
//!
//! ```text
//! accepted ─▶ PROXY header ─▶ TLS hello ─▶ its turn ─▶ handshake ─▶ stream and peer ─▶ h1
//!     └──────────┴──────────────┴───────────┴───────────┴ late, refused or broken: closed
//! ```
//!
//! All of it is held to one deadline. A hello is waited for without a turn, so that clients who say
//! nothing hold none.

use std::{io, sync::Arc};

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection, server::Acceptor};
use tokio::{io::AsyncWriteExt, time::Instant};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{
    census::{Handshake, Introduction, Place},
    house::{House, Lock},
    introduce::{IntroduceError, introduce},
    stream::{self, Socket, Stream},
};
use crate::{
    deadline::Wheel,
    drain::{Drain, Stage},
    peer::{Alpn, Peer, Tls, TlsVersion},
    tls,
};

/// A fatal alert, `unrecognized_name` (RFC 8446 §6, RFC 6066 §3), as one record in plain text.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A connection that may be read from.
pub(super) struct Entered {
    pub(super) stream: Stream,
    pub(super) peer: Arc<Peer>,
}

/// Why a connection never came so far.
#[derive(Debug, thiserror::Error)]
enum EnterError {
    /// Nobody was introduced.
    #[error(transparent)]
    Introduction(#[from] IntroduceError),
    /// It was too slow.
    #[error("not done in time")]
    Late,
    /// usher stops.
    #[error("usher stops")]
    Stopping,
    /// The client asked for a name that is not served here.
    #[error("no certificate for {0:?}")]
    UnknownName(Option<String>),
    /// The client left, or said what it may not say.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// What a connection is at.
#[derive(Clone, Copy, Debug)]
enum Step {
    Introduction,
    Handshake,
}

/// Brings an accepted connection to its first byte of HTTP; `None` when it does not come so far,
/// which has been counted and logged then.
pub(super) async fn enter(
    socket: Socket,
    peer: Peer,
    (house, place): (&House, &mut Place),
    wheel: &Wheel,
    drain: &Drain,
) -> Option<Entered> {
    if house.tls.is_none() && !house.proxy_protocol {
        return Some(Entered { stream: Stream::plain(socket), peer: Arc::new(peer) });
    }
    let (client, deadline) = (peer.client(), Instant::now() + house.handshake_wait);
    let mut at = Step::Introduction;
    // Both only wait, and are dropped with all they hold.
    let entered = wheel.within(deadline, async {
        tokio::select! {
            biased;
            () = drain.reached(Stage::Cutting) => Err(EnterError::Stopping),
            done = take_steps(socket, peer, house, place, &mut at) => done,
        }
    });
    let error = match entered.await.unwrap_or(Err(EnterError::Late)) {
        Ok(entered) => return Some(entered),
        Err(error) => error,
    };
    match at {
        Step::Introduction => place.introduced(match &error {
            EnterError::Introduction(error) => error.counted(),
            _ => Introduction::Late,
        }),
        Step::Handshake => place.shook_hands(match &error {
            EnterError::Late => Handshake::Late,
            EnterError::UnknownName(_) => Handshake::UnknownName,
            _ => Handshake::Failed,
        }),
    }
    tracing::debug!(%client, %error, "a connection did not come to its first request");
    None
}

async fn take_steps(
    mut socket: Socket,
    mut peer: Peer,
    house: &House,
    place: &mut Place,
    at: &mut Step,
) -> Result<Entered, EnterError> {
    if house.proxy_protocol {
        peer = introduce(&mut socket, peer, house, place).await?;
    }
    let Some(lock) = &house.tls else {
        return Ok(Entered { stream: Stream::plain(socket), peer: Arc::new(peer) });
    };
    *at = Step::Handshake;
    let (stream, tls, end) = shake_hands(socket, lock).await?;
    place.shook_hands(end);
    Ok(Entered { stream, peer: Arc::new(Peer { tls: Some(Box::new(tls)), ..peer }) })
}

async fn shake_hands(socket: Socket, lock: &Lock) -> Result<(Stream, Tls, Handshake), EnterError> {
    let acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let mut started = acceptor.await?;
    let name = started.client_hello().server_name().map(str::to_ascii_lowercase);
    if !lock.server.admits(name.as_deref()) {
        // It is told which, if it still listens. rustls has no word for it.
        let _ = started.io.write_all(&UNRECOGNIZED_NAME).await;
        return Err(EnterError::UnknownName(name));
    }
    // The semaphore is never closed.
    let _turn = lock.turns.acquire().await;
    let StartHandshake { accepted, io: socket, .. } = started;
    let session = stream::shake_hands(&socket, accepted, lock.server.config()).await?;
    Ok(agreed(socket, session, name))
}

/// What a finished handshake comes to.
fn agreed(
    socket: Socket,
    session: ServerConnection,
    name: Option<String>,
) -> (Stream, Tls, Handshake) {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    };
    let alpn = match session.alpn_protocol() {
        Some(b"h2") => Some(Alpn::H2),
        Some(_) => Some(Alpn::Http11),
        None => None,
    };
    let client = session.peer_certificates().and_then(|chain| tls::identity(chain.first()?));
    let kind = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    let tls = Tls { version, server_name: name.map(Into::into), alpn, client };
    (Stream::encrypted(socket, session), tls, kind)
}
