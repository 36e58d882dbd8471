//! A proxy on Pingora that does the job of `benches/peers/proxies.py`:
//! `pingora-peer ROOM PLAIN TLS ORIGIN ECHO WORKERS`, where the room has the certificate and those
//! in between are ports of 127.0.0.1.
//!
//! Set up for speed as Pingora's own words advise: no stealing of work between threads, and
//! OpenSSL. The allocator is usher's.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use pingora_core::{
    Result,
    listeners::tls::TlsSettings,
    server::{
        Server,
        configuration::{Opt, ServerConf},
    },
    upstreams::peer::HttpPeer,
};
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VERSION: &str = "0.9";

struct Peer {
    tls: u16,
    /// Both doors, as they are told.
    plain_text: String,
    tls_text: String,
    origin: u16,
    echo: u16,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [room, plain, tls, origin, echo, workers] = arguments.as_slice() else {
        println!("pingora-peer {VERSION}");
        return;
    };
    let threads = workers.parse().expect("a number of workers");
    let conf = ServerConf {
        threads,
        work_stealing: false,
        upstream_keepalive_pool_size: 256,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(Some(Opt::default()), conf);
    server.bootstrap();
    let port = |text: &String| text.parse().expect("a port");
    let peer = Peer {
        tls: port(tls),
        plain_text: plain.clone(),
        tls_text: tls.clone(),
        origin: port(origin),
        echo: port(echo),
    };
    let (certificate, key) = (format!("{room}/server.crt"), format!("{room}/server.key"));
    let mut settings = TlsSettings::intermediate(&certificate, &key).expect("a certificate");
    settings.enable_h2();
    let mut service = http_proxy_service(&server.configuration, peer);
    service.add_tcp(&format!("127.0.0.1:{plain}"));
    service.add_tls_with_settings(&format!("127.0.0.1:{tls}"), None, settings);
    server.add_service(service);
    server.run_forever();
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = &'static str;

    fn new_ctx(&self) -> Self::CTX {
        "customer"
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        audience: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let head = session.req_header();
        let path = head.uri.path();
        let app = head.headers.get("x-app").map(|value| value.as_bytes());
        *audience = if below(path, "/admin") {
            "admin"
        } else if below(path, "/api/driver") || app == Some(b"driver") {
            "driver"
        } else if below(path, "/restaurant") || app == Some(b"restaurant") {
            "restaurant"
        } else {
            "customer"
        };
        let port = if *audience == "admin" { self.echo } else { self.origin };
        let mut peer = HttpPeer::new(("127.0.0.1", port), false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        audience: &mut Self::CTX,
    ) -> Result<()> {
        let secure = session.server_addr().and_then(|address| address.as_inet());
        let secure = secure.is_some_and(|address| address.port() == self.tls);
        let (proto, port) =
            if secure { ("https", &self.tls_text) } else { ("http", &self.plain_text) };
        let client = session.client_addr().and_then(|address| address.as_inet());
        let client = client.map(|address| address.ip().to_string()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let host = head.headers.get("host").cloned();
        head.insert_header("x-audience", *audience)?;
        head.insert_header("x-request-id", uuid::Uuid::new_v4().simple().to_string())?;
        head.insert_header("x-request-start", format!("t={}", now.as_millis()))?;
        head.insert_header("x-forwarded-for", client)?;
        head.insert_header("x-forwarded-proto", proto)?;
        head.insert_header("x-forwarded-port", port)?;
        head.insert_header("via", "1.1 pingora")?;
        if let Some(host) = host {
            head.insert_header("x-forwarded-host", host)?;
        }
        Ok(())
    }
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
