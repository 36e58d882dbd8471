//! Listeners at Unix sockets: who may come, who they are, and what becomes of the file.
//!
//! Transport: Unix sockets, and on them each that clients speak elsewhere.

use std::{
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use h2::client::Builder;
use http::Request;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};
use tokio_rustls::TlsConnector;
use usher::proxy_protocol::{Version, write};

use crate::{
    House,
    support::{
        authority::Authority,
        client::Client,
        http2::Http2,
        origin::{Asked, Origin, PATIENCE, ok},
        usher::Usher,
    },
};

const UNIX: &str = "{ bind: unix:usher.sock }";
const FROM: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";

/// What Rails was told, as `audience for proto port`.
fn told(asked: &Asked) -> Vec<u8> {
    let field = |name| asked.field(name).unwrap_or("-").to_owned();
    let names = ["x-audience", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
    ok(&names.map(field).join(" "))
}

/// Everything that comes for `sent`.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    sent: impl AsRef<[u8]>,
) -> io::Result<String> {
    stream.write_all(sent.as_ref()).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("it ends in time")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A request with `fields` that ends its connection.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")
}

/// The body of the answer to a request at `path` with `fields`.
async fn ask(path: &Path, fields: &str) -> String {
    let stream = UnixStream::connect(path).await.expect("usher listens");
    let answer = exchange(stream, get(fields)).await.expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").mode() & 0o7777
}

impl House {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[tokio::test]
async fn who_comes_by_a_unix_socket_has_no_address_and_is_believed_nothing() {
    let origin = Origin::start().await;
    let house = House::open(&origin, "", UNIX).await;
    origin.serve(told);
    let path = house.path("usher.sock");
    assert_eq!(mode(&path), 0o660);
    // There is nobody to name, and the port is that of the name which was asked for.
    assert_eq!(ask(&path, "").await, "everyone - http 80");
    assert_eq!(ask(&path, FROM).await, "everyone - http 80");
    let known = format!("usher_connections{{listener=\"unix:{}\"}}", path.display());
    assert!(house.usher.samples().0.contains_key(&known), "{known}");
    house.usher.stop().await;
}

#[tokio::test]
async fn a_proxy_that_is_trusted_there_says_who_asks_and_rules_and_limits_believe_it() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(told);
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "listeners: [{{ bind: unix:usher.sock, limits: {{ per_client: 1 }} }}]\n\
         trusted_proxies: [unix]\ncontrol: off\nmetrics: off\naccess_log: off\n\
         drain: {{ grace: 0s }}\n\
         audiences:\n\
         - {{ name: office, pool: rails, match: [{{ client: 192.0.2.0/24 }}] }}\n\
         - {{ name: local, pool: rails, match: [{{ client: unix }}],\n\
         \x20   rate_limit: {{ client: {{ rate: 1/h, burst: 1 }} }} }}\n\
         - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    );
    let file = directory.path().join("usher.yaml");
    std::fs::write(&file, text).expect("it can be written");
    let usher = Usher::start_at(&file).await;
    let path = directory.path().join("usher.sock");
    // Nobody is one of many behind a trusted proxy: there is no limit for all of them together.
    let _idle = UnixStream::connect(&path).await.expect("usher listens");
    assert_eq!(ask(&path, FROM).await, "office 192.0.2.7 https 443");
    let chain = "X-Forwarded-For: 198.51.100.9, 192.0.2.7\r\n";
    assert_eq!(ask(&path, chain).await, "office 198.51.100.9, 192.0.2.7 http 80");
    assert_eq!(
        ask(&path, "X-Forwarded-For: 203.0.113.1\r\n").await,
        "everyone 203.0.113.1 http 80"
    );
    // One that says of nobody speaks for itself, and is one client.
    assert_eq!(ask(&path, "").await, "local - http 80");
    let refused = exchange(UnixStream::connect(&path).await.expect("usher listens"), get("")).await;
    let refused = refused.expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    usher.stop().await;
}

#[tokio::test]
async fn strangers_at_a_unix_socket_are_one_client() {
    let origin = Origin::start().await;
    let listeners = "{ bind: unix:usher.sock, limits: { per_client: 1 } }";
    let house = House::open(&origin, "", listeners).await;
    origin.serve(told);
    let path = house.path("usher.sock");
    let mut first = UnixStream::connect(&path).await.expect("usher listens");
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is read");
    first.read_u8().await.expect("an answer, so that it has been counted");
    let second = UnixStream::connect(&path).await.expect("usher listens");
    // Closed unread: an end or a reset, as the system has it.
    assert!(exchange(second, get("")).await.unwrap_or_default().is_empty());
    drop(first);
    house.usher.stop().await;
}

#[tokio::test]
async fn a_proxy_header_comes_first_there_too_and_tls_after_it() {
    let origin = Origin::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("root");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    let listeners = "{ bind: unix:plain.sock, proxy_protocol: required }, \
        { bind: unix:tls.sock, proxy_protocol: required, \
          tls: { certificates: [{ cert: shop.crt, key: shop.key }] } }";
    let house = House::open_in(directory, &origin, "trusted_proxies: [unix]", listeners).await;
    origin.serve(told);
    let [from, to] = ["192.0.2.7:5000", "198.51.100.1:443"].map(|it| it.parse().expect("one"));
    let header = write(Version::V2, from, to);
    let plain = UnixStream::connect(house.path("plain.sock")).await.expect("usher listens");
    let sent = [header.clone(), get("").into()].concat();
    let answer = exchange(plain, sent).await.expect("an answer");
    assert!(answer.ends_with("everyone 192.0.2.7 http 443"), "{answer}");
    let mut socket = UnixStream::connect(house.path("tls.sock")).await.expect("usher listens");
    socket.write_all(&header).await.expect("it is read");
    let name = ServerName::try_from("shop.example").expect("a name");
    let client = TlsConnector::from(Arc::new(authority.client()));
    let secure = client.connect(name, socket).await.expect("hands are shaken");
    let answer = exchange(secure, get("")).await.expect("an answer");
    assert!(answer.ends_with("everyone 192.0.2.7 https 443"), "{answer}");
    house.usher.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_there_too_in_plain_text_and_within_tls() {
    let (authority, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    authority.issue(&["shop.example"]).write(directory.path(), "shop");
    let listeners = "{ bind: unix:plain.sock, h2c: on }, \
        { bind: unix:tls.sock, tls: { certificates: [{ cert: shop.crt, key: shop.key }] } }";
    let house = House::open_in(directory, &origin, "", listeners).await;
    origin.serve(told);
    let asked = |scheme: &str| {
        let request = Request::get(format!("{scheme}://shop.example/"));
        request.header("x-forwarded-for", "192.0.2.7").body(()).expect("a request")
    };
    let socket = UnixStream::connect(house.path("plain.sock")).await.expect("usher listens");
    let mut client = Http2::on(socket, &Builder::new()).await;
    assert_eq!(client.ask(asked("http")).await.text(), "everyone - http 80");
    let socket = UnixStream::connect(house.path("tls.sock")).await.expect("usher listens");
    let mut config = authority.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("shop.example").expect("a name");
    let secure = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    let mut secure = Http2::on(secure.expect("hands are shaken"), &Builder::new()).await;
    assert_eq!(secure.ask(asked("https")).await.text(), "everyone - https 443");
    drop((client, secure));
    house.usher.stop().await;
}

#[tokio::test]
async fn the_file_goes_when_usher_does_and_what_was_put_in_its_place_stays() {
    let origin = Origin::start().await;
    let listeners = "{ bind: unix:usher.sock }, { bind: unix:other.sock, mode: 0600 }";
    let house = House::open(&origin, "", listeners).await;
    let (path, other) = (house.path("usher.sock"), house.path("other.sock"));
    assert_eq!((mode(&path), mode(&other)), (0o660, 0o600));
    std::fs::remove_file(&other).expect("it is there");
    let _successor = std::os::unix::net::UnixListener::bind(&other).expect("it is free");
    let House { usher, directory: _directory } = house;
    usher.stop().await;
    assert!(!path.exists());
    assert!(UnixStream::connect(&other).await.is_ok(), "it is another's");
}

#[tokio::test]
async fn a_reload_opens_closes_and_keeps_them_and_gives_them_other_rights() {
    let origin = Origin::start().await;
    let first = "{ bind: 127.0.0.1:0 }, { bind: unix:kept.sock }, { bind: unix:gone.sock }";
    let house = House::open(&origin, "", first).await;
    origin.serve(told);
    let file = house.path("usher.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let second = "{ bind: 127.0.0.1:0 }, { bind: unix:kept.sock, mode: 0600 }, \
                  { bind: unix:new.sock, mode: 0640 }";
    let text = text.replace(first, second);
    let mut kept = UnixStream::connect(house.path("kept.sock")).await.expect("usher listens");
    std::fs::write(&file, text).expect("it can be written");
    let control = house.usher.addresses.control.expect("a control port");
    let mut operator = Client::plain(control).await;
    operator.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(operator.answer().await.status, 200);
    // The acceptor does as it is told a moment after the reload is over.
    let done = async {
        while house.path("gone.sock").exists() || mode(&house.path("kept.sock")) != 0o600 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("it is done in time");
    assert_eq!(mode(&house.path("new.sock")), 0o640);
    assert_eq!(ask(&house.path("new.sock"), "").await, "everyone - http 80");
    assert_eq!(ask(&house.path("kept.sock"), "").await, "everyone - http 80");
    assert!(UnixStream::connect(house.path("gone.sock")).await.is_err());
    kept.write_all(get("").as_bytes()).await.expect("it is open still");
    let answer = exchange(kept, "").await.expect("an answer");
    assert!(answer.ends_with("everyone - http 80"), "{answer}");
    house.usher.stop().await;
}

#[tokio::test]
async fn a_reload_that_cannot_have_a_path_changes_nothing() {
    let origin = Origin::start().await;
    let house = House::open(&origin, "", "{ bind: 127.0.0.1:0 }").await;
    let taken = house.path("taken.sock");
    let _other = std::os::unix::net::UnixListener::bind(&taken).expect("it is free");
    let file = house.path("usher.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let listeners = "{ bind: 127.0.0.1:0 }, { bind: unix:free.sock }, { bind: unix:taken.sock }";
    let before = "listeners: [{ bind: 127.0.0.1:0 }]";
    assert!(text.contains(before));
    let text = text.replace(before, &format!("listeners: [{listeners}]"));
    std::fs::write(&file, text).expect("it can be written");
    let control = house.usher.addresses.control.expect("a control port");
    let mut operator = Client::plain(control).await;
    operator.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = operator.answer().await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let wanted = format!(
        "cannot listen on unix:{}: somebody listens there (does another usher run?)",
        taken.display()
    );
    assert!(answer.text().contains(&wanted), "{}", answer.text());
    assert!(!house.path("free.sock").exists(), "what was taken is let go of");
    assert!(taken.exists());
    house.usher.stop().await;
}

#[tokio::test]
async fn operators_and_prometheus_may_come_by_unix_sockets() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         control: {{ bind: unix:control.sock, audit: {{ path: audit.json }} }}\n\
         metrics: {{ bind: unix:metrics.sock, mode: 0666 }}\naccess_log: off\n\
         drain: {{ grace: 0s }}\naudiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    );
    let file = directory.path().join("usher.yaml");
    std::fs::write(&file, text).expect("it can be written");
    let usher = Usher::start_at(&file).await;
    let [control, metrics] =
        ["control.sock", "metrics.sock"].map(|name| directory.path().join(name));
    assert_eq!((mode(&control), mode(&metrics)), (0o600, 0o666));
    let at = async |path: &Path, line: &str, host: &str| {
        let stream = UnixStream::connect(path).await.expect("usher listens");
        let sent = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(stream, sent).await.expect("an answer")
    };
    assert!(at(&metrics, "GET /metrics", "localhost").await.contains("usher_build_info"));
    assert!(at(&control, "GET /ready", "localhost").await.starts_with("HTTP/1.1 200 "));
    assert!(at(&control, "GET /ready", "evil.example").await.starts_with("HTTP/1.1 421 "));
    assert!(at(&control, "POST /api/v1/reload", "localhost").await.starts_with("HTTP/1.1 200 "));
    let audit = std::fs::read_to_string(directory.path().join("audit.json")).expect("an audit");
    let uid = control.metadata().expect("it is there").uid();
    let who = format!("\"who\":\"unix\",\"operator\":null,\"from\":\"unix:uid={uid}\"");
    assert!(audit.contains(&who), "{audit}");
    // A file that everybody may write to does not become a way around tokens by itself.
    std::fs::set_permissions(&metrics, std::fs::Permissions::from_mode(0o600)).expect("ours");
    usher.stop().await;
    assert!(!control.exists() && !metrics.exists());
}
