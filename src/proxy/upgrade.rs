//! To be built.
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// What is left of a request after an upgrade, to be joined with the client's connection.
#[derive(Clone, Debug, Default)]
pub struct Tunnel(Arc<Mutex<Option<()>>>);

impl Tunnel {
    /// Carries bytes both ways until one side ends; `early` arrived before the upgrade was agreed.
    pub async fn carry(self, client: TcpStream, early: Bytes) {
        let _ = (self.0.lock().take(), client, early);
    }
}
