//! What a connection has become behind an agreement to speak something else.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{
    seated::Seated,
    wire::{Far, Stream},
};

/// A stream that is about to be a tunnel's.
#[derive(Debug)]
pub struct Switched(Kind);

#[derive(Debug)]
enum Kind {
    /// The whole connection, and what has been read of it already.
    Alone(Stream, Bytes),
    /// A stream beside others, and the seat that it has.
    Shared(OnUpgrade, Box<Seated>),
}

/// The monolith's side of a tunnel.
#[derive(Debug)]
pub struct Opened {
    /// Its bytes.
    pub far: Far,
    /// What it has said already.
    pub said: Bytes,
    /// What it has among others is its own for as long.
    _seated: Option<Box<Seated>>,
}

// === impl Switched ===

impl Switched {
    /// The whole connection, of which so much has been read already.
    pub(super) fn alone(stream: Stream, said: Bytes) -> Self {
        Self(Kind::Alone(stream, said))
    }

    /// A stream beside others, which keeps its seat.
    pub(super) fn shared(upgrade: OnUpgrade, seated: Box<Seated>) -> Self {
        Self(Kind::Shared(upgrade, seated))
    }

    /// The stream, unless the connection has ended meanwhile.
    pub async fn open(self) -> Option<Opened> {
        Some(match self.0 {
            Kind::Alone(stream, said) => Opened { far: Far::Alone(stream), said, _seated: None },
            Kind::Shared(upgrade, seated) => {
                let far = Far::Shared(TokioIo::new(upgrade.await.ok()?));
                Opened { far, said: Bytes::new(), _seated: Some(seated) }
            }
        })
    }
}
