//! TLS: certificates and keys as they lie in files, and what they make of a listener or a pool.
//!
//! rustls does the cryptography, with one provider (`ARCHITECTURE.md` says which and why). Nothing
//! here reads a file or a socket: bytes come in, and either something valid by construction or an
//! error comes out.

mod certificate;
mod client;
mod kept;
mod names;
mod server;
mod tickets;
mod x509;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use certificate::{Certificate, CertificateError, Roots, RootsError};
pub use client::{Client, ClientSpec, Trust, advice};
pub use kept::{KeptKey, KeptTickets, Secret};
pub use names::Names;
pub use server::{Clients, Server, ServerSpec, UnknownName, Version};
pub use tickets::Tickets;
pub use x509::identity;

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
