//! What happens between an accepted socket and the first byte of HTTP: TLS, PROXY headers, and how
//! a listener meets its clients.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod certificates;
mod introductions;
mod manners;
mod sessions;
mod stacks;
mod unix;
#[path = "../support/mod.rs"]
mod support;
mod visitors;

use std::{net::SocketAddr, sync::Arc};

use rustls::ClientConfig;
use support::{client::Client, origin::Origin, usher::Usher, wire::Wire};
use tokio::net::TcpStream;

/// A directory with a configuration, and an usher that runs by it.
struct House {
    usher: Usher,
    _directory: tempfile::TempDir,
}

impl House {
    /// An usher in front of `origin`, with `listeners` and, above them, `more`.
    async fn open(origin: &Origin, more: &str, listeners: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::open_in(directory, origin, more, listeners).await
    }

    /// As [`open`](Self::open), with certificates that lie in `directory`.
    async fn open_in(
        directory: tempfile::TempDir,
        origin: &Origin,
        more: &str,
        listeners: &str,
    ) -> Self {
        let text = format!(
            "{more}\nlisteners: [{listeners}]\n\
             control: {{ bind: 127.0.0.1:0 }}\nmetrics: off\naccess_log: off\nworkers: 2\n\
             drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
             audiences: [{{ name: staff, pool: rails, match: [{{ subject: \"CN=ops*\" }}] }}, \
                         {{ name: everyone, pool: rails }}]\n\
             pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
            origin.endpoint()
        );
        let path = directory.path().join("usher.yaml");
        std::fs::write(&path, text).expect("it can be written");
        Self { usher: Usher::start_at(&path).await, _directory: directory }
    }

    fn address(&self, listener: usize) -> SocketAddr {
        self.usher.addresses.listeners[listener]
    }
}

/// A client that shakes hands and asks for `name`.
async fn secure(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Client> {
    let socket = TcpStream::connect(address).await?;
    Wire::secure(socket, config.clone(), name).await.map(Client::on)
}

/// The connection's session of TLS.
fn session(client: &Client) -> &rustls::ClientConnection {
    match &client.stream {
        Wire::Tls(stream) => stream.get_ref().1,
        Wire::Plain(_) | Wire::Http2(_) => panic!("this client speaks no TLS itself"),
    }
}
