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
        if HTTP2 {
            return Self::Http2(Box::new(Gateway::connect(address).await));
        }
        let socket = TcpStream::connect(address).await.expect("usher accepts");
        socket.set_nodelay(true).expect("no delay");
        if TLS { Self::shake_hands(socket).await } else { Self::Plain(socket) }
    }

    /// Connects to usher as this test binary does, to speak HTTP/2.
    pub async fn connect_http2(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("usher accepts");
        socket.set_nodelay(true).expect("no delay");
        if !TLS {
            return Self::Plain(socket);
        }
        let mut config = ClientConfig::clone(&authority::shared_client());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let shaken = Self::secure(socket, Arc::new(config), "shop.example").await;
        shaken.expect("hands are shaken")
    }

    /// Speaks TLS on `socket`, as all tests over TLS do.
    pub async fn shake_hands(socket: TcpStream) -> Self {
        let shaken = Self::secure(socket, authority::shared_client(), "shop.example").await;
        shaken.expect("hands are shaken")
    }

    /// Speaks TLS on `socket` and asks for `name`.
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
