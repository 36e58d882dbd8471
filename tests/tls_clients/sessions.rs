//! How long sessions of TLS are resumed: while the clock runs on, and when another process takes
//! over.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, HandshakeKind, NamedGroup,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};
use tokio::net::TcpStream;

use crate::support::{
    authority::Authority,
    binary::Binary,
    client::Client,
    origin::{Origin, ok},
    wire::Wire,
};

/// Keeps the first session that it is given, and offers that for ever.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Tls12ClientSessionValue>>);

impl ClientSessionStore for Kept {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.lock().get_or_insert(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.lock().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// A client that keeps its first session.
fn keeping(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let root = authority.root();
    let root = rustls::pki_types::pem::PemObject::from_pem_slice(root.as_bytes());
    roots.add(root.expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).expect("a version");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::store(Arc::<Kept>::default());
    Arc::new(config)
}

/// A configuration with TLS at its only listener, and where its files are.
async fn configured(authority: &Authority) -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    let origin = Origin::start().await;
    let at = directory.path().display();
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0, \
           tls: {{ certificates: [{{ cert: {at}/shop.crt, key: {at}/shop.key }}] }} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: {{ bind: 127.0.0.1:0 }}\nworkers: 1\n\
         drain: {{ grace: 20s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint()
    );
    origin.serve(|_| ok("here"));
    (text, directory)
}

/// How hands were shaken with a client that asks and leaves.
async fn shaken(usher: &Binary, config: &Arc<ClientConfig>) -> HandshakeKind {
    let socket = TcpStream::connect(usher.clients).await.expect("usher accepts");
    let wire = Wire::secure(socket, config.clone(), "shop.example").await.expect("hands");
    let mut client = Client::on(wire);
    assert_eq!(client.get("/").await.text(), "here");
    let Wire::Tls(stream) = &client.stream else { panic!("it is TLS") };
    stream.get_ref().1.handshake_kind().expect("it is over")
}

/// The library that has a program see another time, of the Debian package `libfaketime`.
fn other_time() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("a system has libraries");
    let within = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path().join("faketime/libfaketimeMT.so.1");
        path.is_file().then_some(path)
    };
    libraries.filter_map(within).next().expect("tests/run has installed libfaketime")
}

/// A clock that runs on when a test says so, for usher and for whoever takes over from it.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// One that goes right, below `directory`.
    fn new(directory: &Path) -> Self {
        let clock = Self { file: directory.join("clock") };
        clock.set("+0");
        clock
    }

    /// Puts it ahead of the true time by so much.
    fn set(&self, ahead: &str) {
        let beside = self.file.with_extension("beside");
        fs::write(&beside, ahead).expect("it can be written");
        fs::rename(beside, &self.file).expect("it is put in its place");
    }

    async fn start(&self, text: &str) -> Binary {
        let started = Binary::start_by(text, |program| {
            let mut command = Command::new(program);
            command.env("LD_PRELOAD", other_time()).env("FAKETIME_TIMESTAMP_FILE", &self.file);
            // Deadlines go by the clock that nobody sets; what is looked at is the other one.
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command
        });
        started.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"))
    }
}

#[tokio::test]
async fn the_keys_of_tickets_change_every_six_hours_and_old_ones_are_good_for_as_long_again() {
    let authority = Authority::new("root");
    let (text, directory) = configured(&authority).await;
    let clock = Clock::new(directory.path());
    let usher = clock.start(&text).await;
    let old = keeping(&authority);
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Full);
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed);
    clock.set("+5h");
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed, "the same key");
    clock.set("+7h");
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed, "the key before");
    let new = keeping(&authority);
    assert_eq!(shaken(&usher, &new).await, HandshakeKind::Full);
    clock.set("+14h");
    assert_eq!(shaken(&usher, &new).await, HandshakeKind::Resumed, "the key before, again");
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Full, "its key has gone");
    clock.set("+21h");
    assert_eq!(shaken(&usher, &new).await, HandshakeKind::Full, "and so has this one");
}

/// The process that takes over goes on with the keys as the old one would have, whenever it began.
#[tokio::test]
async fn keys_of_tickets_that_are_handed_over_are_as_old_as_they_were() {
    let authority = Authority::new("root");
    let (text, directory) = configured(&authority).await;
    let clock = Clock::new(directory.path());
    let mut usher = clock.start(&text).await;
    let old = keeping(&authority);
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Full);
    clock.set("+5h");
    usher.upgrade().expect("another process takes over");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed, "the same key");
    let late = keeping(&authority);
    assert_eq!(shaken(&usher, &late).await, HandshakeKind::Full);
    assert_eq!(shaken(&usher, &late).await, HandshakeKind::Resumed);
    clock.set("+7h");
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed, "the key before");
    let new = keeping(&authority);
    assert_eq!(shaken(&usher, &new).await, HandshakeKind::Full);
    usher.upgrade().expect("and another");
    clock.set("+11h");
    assert_eq!(shaken(&usher, &old).await, HandshakeKind::Resumed, "both keys were handed over");
    clock.set("+13h");
    for client in [&old, &late] {
        assert_eq!(shaken(&usher, client).await, HandshakeKind::Full, "their key has gone");
    }
    assert_eq!(shaken(&usher, &new).await, HandshakeKind::Resumed);
}
