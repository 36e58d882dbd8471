//! What a client speaks on: TCP, TLS where the test binary is called `…_tls`, and HTTP/2 within TLS
//! where it is called `…_http2_tls`, so that the same tests hold for all of them.

use std::{
    io,
    net::SocketAddr,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{authority, gateway::Gateway};

/// Whether this test binary speaks TLS.
pub const TLS: bool = {
    let name = env!("CARGO_CRATE_NAME").as_bytes();
    matches!(name, [.., b'_', b't', b'l', b's'])
};

/// Whether what its tests say as HTTP/1.1 goes to usher over HTTP/2.
pub const HTTP2: bool = {
    let name = env!("CARGO_CRATE_NAME").as_bytes();
    matches!(name, [.., b'_', b'h', b't', b't', b'p', b'2', b'_', b't', b'l', b's'])
};

/// A client's connection. It is used as the socket beneath where a test asks for one.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Http2(Box<Gateway>),
}

macro_rules! either {
    ($wire:expr, $either:ident => $call:expr) => {
        match $wire {
            Wire::Plain($either) => $call,
            Wire::Tls($either) => $call,
            Wire::Http2(gateway) => {
                let $either = &mut gateway.near;
                $call
            }
        }
    };
}

// === impl Wire ===

impl Wire {
    /// Connects to usher as this test binary does.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("usher accepts");
        Self::on(socket).await.expect("hands are shaken")
    }

    /// Speaks on `socket` as this test binary does.
    pub async fn on(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        if !TLS {
            return Ok(Self::Plain(socket));
        }
        Self::within_tls(socket, &authority::shared_client(), "shop.example").await
    }

    /// Speaks TLS on `socket`, asks for `name`, and speaks inside as this test binary does:
    /// HTTP/1.1 unless it is called `…_http2_tls`.
    pub async fn within_tls(
        socket: TcpStream,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        if !HTTP2 {
            return Self::secure(socket, config.clone(), name).await;
        }
        let wire = Self::secure(socket, offering_http2(config), name).await?;
        Ok(Self::Http2(Box::new(Gateway::on(wire).await)))
    }

    /// Connects to usher as this test binary does, to speak HTTP/2.
    pub async fn connect_http2(address: SocketAddr) -> Self {
        Self::for_http2(TcpStream::connect(address).await.expect("usher accepts")).await
    }

    /// What HTTP/2 is spoken on, as this test binary does: `socket`, or TLS on it.
    pub async fn for_http2(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("no delay");
        if !TLS {
            return Self::Plain(socket);
        }
        let config = offering_http2(&authority::shared_client());
        Self::secure(socket, config, "shop.example").await.expect("hands are shaken")
    }

    /// Speaks TLS on `socket`, as all tests over TLS do.
    pub async fn shake_hands(socket: TcpStream) -> Self {
        let shaken = Self::secure(socket, authority::shared_client(), "shop.example").await;
        shaken.expect("hands are shaken")
    }

    /// Speaks TLS on `socket` and asks for `name`; what is spoken inside is the caller's.
    pub async fn secure(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TlsConnector::from(config).connect(name, socket).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// The socket beneath.
    pub fn into_socket(self) -> TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.into_inner().0,
            Wire::Http2(_) => panic!("other requests may be on it as well"),
        }
    }

    /// Takes back what has been asked: by a reset of the connection, or of the stream.
    pub fn take_back(self) {
        match self {
            Wire::Http2(gateway) => gateway.take_back(),
            Wire::Plain(_) | Wire::Tls(_) => {
                self.set_zero_linger().expect("resets");
            }
        }
    }
}

impl Deref for Wire {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref().0,
            Wire::Http2(gateway) => &gateway.socket,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), wire => Pin::new(wire).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = either!(&mut *this, wire => Pin::new(wire).poll_write(cx, bytes));
        // What is written is sent, as on a socket; what does not fit goes with the next.
        if let (Wire::Tls(stream), Poll::Ready(Ok(_))) = (this, &written) {
            let _ = Pin::new(stream).poll_flush(cx);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), wire => Pin::new(wire).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), wire => Pin::new(wire).poll_shutdown(cx))
    }
}

/// The same client, which offers HTTP/2 and nothing else.
fn offering_http2(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
