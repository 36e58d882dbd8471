//! TLS in front of an origin, as an endpoint has it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{
    authority::{Authority, Issued},
    origin::Origin,
};

/// Ends TLS, and passes on what is inside to an origin.
pub struct Vault {
    pub address: SocketAddr,
    pub shaken: Arc<Mutex<Vec<Shaken>>>,
    /// Whether connections end without a close_notify once the origin has closed.
    pub cuts: Arc<AtomicBool>,
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaken {
    /// The name that was asked for.
    pub name: Option<String>,
    pub resumed: bool,
    /// The certificate that usher showed, as DER.
    pub client: Option<Vec<u8>>,
    pub protocol: Option<Vec<u8>>,
}

// === impl Vault ===

impl Vault {
    /// In front of `origin`, with the certificate `issued`; asks for one that `clients` has signed.
    pub async fn open(origin: &Origin, issued: &Issued, clients: Option<&Authority>) -> Self {
        Self::open_at(origin.address(), issued, clients, &[b"http/1.1"]).await
    }

    /// In front of what is at `inside`, with these protocols.
    pub async fn open_at(
        inside: SocketAddr,
        issued: &Issued,
        clients: Option<&Authority>,
        protocols: &[&[u8]],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut config = config(issued, clients);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (shaken, cuts) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (told, cut) = (shaken.clone(), cuts.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, told, cut) = (acceptor.clone(), told.clone(), cut.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    told.lock().push(Shaken::of(&stream));
                    pass_on(stream, inside, &cut).await;
                });
            }
        });
        Self { address, shaken, cuts }
    }

    pub fn shaken(&self) -> Vec<Shaken> {
        self.shaken.lock().clone()
    }
}

// === impl Shaken ===

impl Shaken {
    fn of(stream: &TlsStream<TcpStream>) -> Self {
        let session = stream.get_ref().1;
        Self {
            name: session.server_name().map(str::to_owned),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            client: session.peer_certificates().map(|chain| chain[0].to_vec()),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
        }
    }
}

fn config(issued: &Issued, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(der(&authority.root())).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    builder.with_single_cert(vec![der(&issued.cert)], key).expect("they fit")
}

/// A certificate out of PEM.
pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

async fn pass_on(mut stream: TlsStream<TcpStream>, inside: SocketAddr, cut: &AtomicBool) {
    let Ok(mut inside) = TcpStream::connect(inside).await else { return };
    if !cut.load(Ordering::Relaxed) {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut inside).await;
        return;
    }
    let (mut from, mut to) = tokio::io::split(stream);
    let (mut from_inside, mut to_inside) = inside.split();
    let asking = tokio::io::copy(&mut from, &mut to_inside);
    let answering = async {
        let _ = tokio::io::copy(&mut from_inside, &mut to).await;
        let _ = tokio::io::AsyncWriteExt::flush(&mut to).await;
    };
    tokio::select! {
        _ = asking => {}
        () = answering => {}
    }
}
