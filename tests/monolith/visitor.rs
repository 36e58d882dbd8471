//! Someone who asks usher one thing after the other, on one connection while it lasts.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use crate::support::{
    client::{Answer, Client},
    origin::PATIENCE,
};

/// A client with a keep-alive connection.
pub struct Visitor {
    address: SocketAddr,
    connection: Option<Client>,
}

// === impl Visitor ===

impl Visitor {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends `request` and reads its answer. `None` when usher closed the connection instead.
    ///
    /// # Panics
    /// Neither came within [`PATIENCE`], which is longer than any `timeouts.total` here.
    pub async fn ask(&mut self, request: &str) -> Option<Answer> {
        let asked = tokio::time::timeout(PATIENCE, self.try_ask(request));
        asked.await.unwrap_or_else(|_late| panic!("hangs: {request}"))
    }

    async fn try_ask(&mut self, request: &str) -> Option<Answer> {
        let mut client = match self.connection.take() {
            Some(client) => client,
            None => Client::connect(self.address).await,
        };
        client.stream.write_all(request.as_bytes()).await.ok()?;
        let answer = client.try_answer(request.starts_with("HEAD ")).await?;
        let closes = answer.field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        if answer.whole && !closes {
            self.connection = Some(client);
        }
        Some(answer)
    }

    /// Sends `request`, and resets the connection once the head of its answer is there.
    pub async fn leave_within(&self, request: &str) -> Answer {
        let mut client = Client::connect(self.address).await;
        client.send(request).await;
        let head = client.head().await.expect("an answer begins");
        client.reset();
        head
    }
}
