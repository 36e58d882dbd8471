//! A proxy on Pingora that does the job of `benches/peers/proxies.py`:
//! `pingora-peer PLAIN ORIGIN ECHO WORKERS`, all but the last ports of 127.0.0.1.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use pingora_core::{
    Result,
    server::{
        Server,
        configuration::{Opt, ServerConf},
    },
    upstreams::peer::HttpPeer,
};
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const VERSION: &str = "0.9";

struct Peer {
    listener: String,
    origin: u16,
    echo: u16,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listener, origin, echo, workers] = arguments.as_slice() else {
        println!("pingora-peer {VERSION}");
        return;
    };
    let threads = workers.parse().expect("a number of workers");
    let conf = ServerConf { threads, upstream_keepalive_pool_size: 256, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Some(Opt::default()), conf);
    server.bootstrap();
    let peer = Peer {
        listener: listener.clone(),
        origin: origin.parse().expect("the origin's port"),
        echo: echo.parse().expect("the echo's port"),
    };
    let mut service = http_proxy_service(&server.configuration, peer);
    service.add_tcp(&format!("127.0.0.1:{listener}"));
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
        let client = session.client_addr().and_then(|address| address.as_inet());
        let client = client.map(|address| address.ip().to_string()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let host = head.headers.get("host").cloned();
        head.insert_header("x-audience", *audience)?;
        head.insert_header("x-request-id", uuid::Uuid::new_v4().simple().to_string())?;
        head.insert_header("x-request-start", format!("t={}", now.as_millis()))?;
        head.insert_header("x-forwarded-for", client)?;
        head.insert_header("x-forwarded-proto", "http")?;
        head.insert_header("x-forwarded-port", &self.listener)?;
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
