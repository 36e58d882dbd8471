//! What nearly every test here begins with.

use std::{net::SocketAddr, sync::Arc};

use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::support::{client::Client, origin::Origin, usher::Usher, wire::Wire};

/// A directory with a configuration, and an usher that runs by it.
pub struct House {
    pub usher: Usher,
    #[allow(dead_code, reason = "not every test binary looks into it")]
    pub directory: tempfile::TempDir,
}

impl House {
    /// An usher in front of `origin`, with `listeners` and, above them, `more`.
    pub async fn open(origin: &Origin, more: &str, listeners: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::open_in(directory, origin, more, listeners).await
    }

    /// As [`open`](Self::open), with certificates that lie in `directory`.
    pub async fn open_in(
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
        Self { usher: Usher::start_at(&path).await, directory }
    }

    pub fn address(&self, listener: usize) -> SocketAddr {
        self.usher.addresses.listeners[listener]
    }
}

/// A client that shakes hands, asks for `name`, and speaks inside as this test binary does.
pub async fn secure(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Client> {
    let socket = TcpStream::connect(address).await?;
    Wire::within_tls(socket, config, name).await.map(Client::on)
}
