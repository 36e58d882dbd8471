//! From an accepted socket to a stream whose first byte is HTTP.
//!
//! ```text
//! accepted ─▶ TLS hello ─▶ its turn ─▶ handshake ─▶ stream and peer ─▶ h1
//!     └──────────┴────────────┴────────────┴ late, refused or broken: closed, and counted
//! ```
//!
//! All of it is held to one deadline. A hello is waited for without a turn, so that clients who say
//! nothing hold none.

use std::{io, sync::Arc};

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::{io::AsyncWriteExt, time::Instant};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    census::{Handshake, Place},
    house::{House, Lock},
    stream::{Socket, Stream},
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

/// Brings an accepted connection to its first byte of HTTP; `None` when it does not come so far,
/// which has been counted and logged then.
pub(super) async fn enter(
    socket: Socket,
    peer: Peer,
    (house, place): (&House, &Place),
    wheel: &Wheel,
    drain: &Drain,
) -> Option<Entered> {
    let Some(lock) = &house.tls else {
        return Some(Entered { stream: Stream::plain(socket), peer: Arc::new(peer) });
    };
    let deadline = Instant::now() + house.handshake_wait;
    let shaking = async {
        // Both only wait, and are dropped with all they hold.
        tokio::select! {
            biased;
            () = drain.reached(Stage::Cutting) => Err(EnterError::Stopping),
            done = shake_hands(socket, lock) => done,
        }
    };
    let shaken = wheel.within(deadline, shaking).await;
    match shaken.unwrap_or(Err(EnterError::Late)) {
        Ok((stream, tls, kind)) => {
            place.shook_hands(kind);
            let peer = Arc::new(Peer { tls: Some(Box::new(tls)), ..peer });
            Some(Entered { stream, peer })
        }
        Err(error) => {
            place.shook_hands(match error {
                EnterError::Late => Handshake::Late,
                EnterError::UnknownName(_) => Handshake::UnknownName,
                EnterError::Stopping | EnterError::Broken(_) => Handshake::Failed,
            });
            let client = peer.ip();
            tracing::debug!(%client, %error, "a TLS handshake failed");
            None
        }
    }
}

async fn shake_hands(socket: Socket, lock: &Lock) -> Result<(Stream, Tls, Handshake), EnterError> {
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket);
    let mut started = acceptor.await?;
    let name = started.client_hello().server_name().map(str::to_ascii_lowercase);
    if !lock.server.admits(name.as_deref()) {
        // It is told which, if it still listens. rustls has no word for it.
        let _ = started.io.write_all(&UNRECOGNIZED_NAME).await;
        return Err(EnterError::UnknownName(name));
    }
    // The semaphore is never closed.
    let _turn = lock.turns.acquire().await;
    let shaken = started.into_stream(lock.server.config()).await?;
    Ok(agreed(shaken, name))
}

/// What a finished handshake comes to.
fn agreed(shaken: TlsStream<Socket>, name: Option<String>) -> (Stream, Tls, Handshake) {
    let (socket, session) = shaken.into_inner();
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
