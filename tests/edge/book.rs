//! What `docs/edge.md` says to write behind each load balancer, as it stands there, with a test in
//! the balancer's place.
//!
//! Transport: what each of them speaks to usher.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};
use usher::{
    config::{self, LoadOptions},
    proxy_protocol::{Version, write},
    tls::{self, UnknownName},
};

use crate::{
    secure,
    support::{
        authority::{self, Authority},
        client::{Answer, Client},
        origin::{Origin, ok},
        usher::Usher,
        wire::Wire,
    },
};

const BOOK: &str = include_str!("../../docs/edge.md");

/// The YAML below the heading that begins with `heading`.
fn written(heading: &str) -> &'static str {
    let (_, section) = BOOK.split_once(&format!("\n## {heading}")).expect("a heading");
    let (_, block) = section.split_once("```yaml\n").expect("a block");
    block.split_once("```").expect("its end").0
}

/// A whole configuration with it, as somebody would write it.
fn whole(block: &str, endpoint: &str) -> String {
    format!(
        "{block}audiences:\n\
         - {{ name: office, pool: rails, match: [{{ client: 192.0.2.0/24 }}] }}\n\
         - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [\"{endpoint}\"], capacity: 5, \
                             timeouts: {{ connect: 20s, first_byte: 60s, total: 60s }} }} }}\n"
    )
}

/// An usher that runs by what is written there, at free ports, with the test in the place of the
/// load balancer and certificates that `authority` has signed.
async fn started(heading: &str, authority: &Authority, directory: &tempfile::TempDir) -> Usher {
    let block = written(heading);
    let options = LoadOptions { allow_missing_files: true, ..LoadOptions::default() };
    let said = config::parse_text("book.yaml", &whole(block, "127.0.0.1:3000"), &options);
    let (_, warnings) = said.unwrap_or_else(|problems| panic!("{heading}\n{problems}"));
    assert!(warnings.is_empty(), "{heading}: {warnings:?}");
    let at = directory.path().display().to_string();
    authority.issue(&["shop.example"]).write(directory.path(), "tls");
    let origin = Origin::start().await;
    let mut text = whole(block, &origin.endpoint());
    for (there, here) in [
        ("0.0.0.0:8080", "127.0.0.1:0"),
        ("0.0.0.0:8443", "127.0.0.1:0"),
        ("0.0.0.0:9901", "127.0.0.1:0"),
        ("\"[::]:8080\"", "\"[::]:0\""),
        ("\"[::]:8443\"", "\"[::]:0\""),
        ("[10.0.0.0/20, 10.0.16.0/20]", "[127.0.0.0/8]"),
        ("[10.42.0.0/16]", "[127.0.0.0/8]"),
        ("/etc/usher/tls", &at),
        ("grace: 15s", "grace: 0s"),
        ("grace: 25s", "grace: 0s"),
    ] {
        text = text.replace(there, here);
    }
    for elsewhere in ["0.0.0.0", ":80", ":84", "10.", "/etc"] {
        let listeners = text.split("audiences:").next().expect("what the book says");
        assert!(!listeners.contains(elsewhere), "{elsewhere} is still in\n{listeners}");
    }
    if !text.contains("metrics:") {
        text += "metrics: off\n";
    }
    let path = directory.path().join("usher.yaml");
    std::fs::write(&path, text + "control: off\naccess_log: off\nworkers: 1\n").expect("written");
    origin.serve(|asked| {
        let names = ["x-audience", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
        ok(&names.map(|name| asked.field(name).unwrap_or("-")).join(" "))
    });
    Usher::start_at(&path).await
}

/// The answer to a GET with `fields`.
async fn asked(client: &mut Client, fields: &str) -> Answer {
    client.send(format!("GET /a HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n\r\n")).await;
    client.answer().await
}

/// What the health check that the book names is answered.
async fn checked(usher: &Usher) -> u16 {
    let metrics = usher.addresses.metrics.expect("a metrics port");
    Client::plain(metrics).await.get("/ready").await.status
}

#[tokio::test]
async fn an_alb_says_for_whom_it_speaks_and_plain_requests_are_sent_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let heading = "Behind an AWS Application Load Balancer";
    let usher = started(heading, &Authority::new("root"), &directory).await;
    let mut alb = Client::plain(usher.address()).await;
    // It appends; what its client said of others stands in front, and is not believed.
    let fields = "X-Forwarded-For: 192.0.2.1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Port: 443";
    let answer = asked(&mut alb, fields).await;
    assert_eq!(answer.text(), "everyone 192.0.2.1, 203.0.113.9, 127.0.0.1 https 443");
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"));
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443";
    assert_eq!(asked(&mut alb, fields).await.text(), "office 192.0.2.1, 127.0.0.1 https 443");
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80";
    let answer = asked(&mut alb, fields).await;
    assert_eq!((answer.status, answer.field("location")), (301, Some("https://shop.example/a")));
    assert_eq!(checked(&usher).await, 200);
    drop(alb);
    usher.stop().await;
}

/// A connection that begins with the header of an NLB for a client at `from`.
async fn introduced(address: SocketAddr, from: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("usher accepts");
    let [from, to] = [from, "10.0.0.5:443"].map(|it| it.parse().expect("an address"));
    socket.write_all(&write(Version::V2, from, to)).await.expect("it is read");
    socket
}

#[tokio::test]
async fn an_nlb_introduces_its_clients_before_they_speak_tls() {
    let (authority, directory) = (Authority::new("root"), tempfile::tempdir().expect("a place"));
    let usher = started("Behind an AWS Network Load Balancer", &authority, &directory).await;
    let (tls, plain) = (usher.addresses.listeners[0], usher.addresses.listeners[1]);
    let config = Arc::new(authority.client());
    let wire = Wire::within_tls(introduced(tls, "192.0.2.1:5000").await, &config, "shop.example");
    let mut client = Client::on(wire.await.expect("hands are shaken"));
    let answer = asked(&mut client, "X-Forwarded-For: 203.0.113.9").await;
    assert_eq!(answer.text(), "office 192.0.2.1 https 443", "its client is no proxy");
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"));
    let mut other = Client::on(Wire::Plain(introduced(plain, "192.0.2.1:5001").await));
    let answer = asked(&mut other, "X-Forwarded-Proto: https").await;
    assert_eq!((answer.status, answer.field("location")), (301, Some("https://shop.example/a")));
    // Without a header there is nobody to speak with, for which the book warns of a check there.
    for address in [tls, plain] {
        let mut stranger = Client::plain(address).await;
        stranger.send("GET /ready HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        assert!(stranger.closed().await.is_empty());
    }
    assert_eq!(checked(&usher).await, 200);
    drop((client, other));
    usher.stop().await;
}

#[tokio::test]
async fn ingress_nginx_is_believed_what_it_has_found_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let usher = started("Behind ingress-nginx", &Authority::new("root"), &directory).await;
    let mut nginx = Client::plain(usher.address()).await;
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\n\
                  X-Real-IP: 192.0.2.1\r\nX-Forwarded-Scheme: https";
    assert_eq!(asked(&mut nginx, fields).await.text(), "office 192.0.2.1, 127.0.0.1 https 443");
    // Redirects are nginx' own.
    let answer = asked(&mut nginx, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http").await;
    assert_eq!(answer.text(), "everyone 203.0.113.9, 127.0.0.1 http 80");
    assert_eq!(checked(&usher).await, 200);
    drop(nginx);
    usher.stop().await;
}

#[tokio::test]
async fn whoever_faces_the_internet_believes_nobody() {
    let (authority, directory) = (Authority::new("root"), tempfile::tempdir().expect("a place"));
    let usher = started("Facing the internet", &authority, &directory).await;
    let port = |n: usize| usher.addresses.listeners[n].port();
    let forged = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https";
    for home in ["127.0.0.1", "::1"] {
        let at = |n| SocketAddr::new(home.parse().expect("an address"), port(n));
        let mut plain = Client::plain(at(0)).await;
        let answer = asked(&mut plain, forged).await;
        assert_eq!(
            (answer.status, answer.field("location")),
            (301, Some("https://shop.example/a"))
        );
        let config = Arc::new(authority.client());
        let mut client = secure(at(1), &config, "shop.example").await.expect("hands are shaken");
        let answer = asked(&mut client, forged).await;
        assert_eq!(answer.text(), format!("everyone {home} https {}", port(1)));
        assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"));
        let error = secure(at(1), &config, "other.example").await.err().expect("no hands");
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    usher.stop().await;
}

/// What the book says of what is not configured: a name, and its value.
fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, table) = BOOK.split_once("\n## Defaults, and why\n").expect("a heading");
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.map_while(|row| {
        let mut cells = row.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.next()?))
    })
}

/// Defaults that no configuration can say otherwise: those of sockets are held by the tests of
/// `edge/listen`, those of TLS by what `tests/tls_clients` and `tests/edge/sessions.rs` see.
const FIXED: [&str; 5] =
    ["early data", "session tickets", "`TCP_NODELAY`", "TCP keep-alive", "backlog"];

#[test]
fn what_is_said_of_defaults_is_what_is_read_where_nothing_is_written() {
    let at = authority::shared();
    let at = at.display();
    let block = format!(
        "listeners:\n\
         - {{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {at}/shop.crt, \
              key: {at}/shop.key }}] }} }}\n\
         - {{ bind: unix:{at}/usher.sock }}\n\
         control: {{ bind: unix:{at}/control.sock }}\n"
    );
    let read = whole(&block, "127.0.0.1:3000");
    let read = config::parse_text("book.yaml", &read, &LoadOptions::default());
    let (config, _) = read.unwrap_or_else(|problems| panic!("{problems}"));
    let [listener, unix] = &config.listeners[..] else { panic!("there are two") };
    let tls = listener.tls.as_ref().expect("it speaks TLS");
    let limits = &listener.limits;
    let or = |is: bool, said: &str| if is { said.to_owned() } else { "something else".to_owned() };
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let modes = [unix.access.mode, config.control_access.mode];
    let known = [
        ("`trusted_proxies`", or(config.trusted_proxies.is_empty(), "nobody")),
        ("`proxy_protocol`", or(!listener.proxy_protocol, "`off`")),
        ("versions of TLS", or(tls.lowest == tls::Version::Tls12, "1.2 and 1.3")),
        ("`unknown_name`", or(tls.unknown_name == UnknownName::First, "`first`")),
        ("`hosts`", or(!tls.any_host, "`certified`")),
        ("`limits.handshake_wait`", seconds(limits.handshake_wait)),
        ("`limits.handshakes`", limits.handshakes.to_string()),
        ("`limits.keep_alive`", seconds(limits.keep_alive)),
        ("`hsts`", or(listener.hsts.is_none(), "off")),
        ("`mode` of a Unix socket", format!("{:04o}; {:04o} for `control`", modes[0], modes[1])),
    ];
    let known: BTreeMap<&str, String> = known.into_iter().collect();
    let said: BTreeMap<&str, String> = defaults()
        .filter(|(name, _)| !FIXED.contains(name))
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    assert_eq!(said, known);
    assert_eq!(defaults().count(), known.len() + FIXED.len(), "each once");
}
