//! Names that a real name server tells: dnsmasq, as Debian has it.
//!
//! Transport: HTTP/1.1 in plain text; this is about names of endpoints.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod support;

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use support::{
    client::Client,
    origin::{Origin, PATIENCE, ok},
    usher::{Usher, one_pool},
};
use tempfile::TempDir;

const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;

/// A running dnsmasq that knows what its hosts file says. Dropping it kills it.
struct Dnsmasq {
    address: SocketAddr,
    child: Child,
    hosts: PathBuf,
    _directory: TempDir,
}

// === impl Dnsmasq ===

impl Dnsmasq {
    /// Starts it with `arguments`, and waits until it answers.
    async fn start(hosts: &str, arguments: &[String]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hosts");
        fs::write(&path, hosts).expect("written");
        let address = free();
        let child = Command::new("/usr/sbin/dnsmasq")
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user="])
            .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=1"])
            .args(["--local=/shop/", "--pid-file="])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--addn-hosts={}", path.display()))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq is installed");
        let it = Self { address, child, hosts: path, _directory: directory };
        let answers = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.expect("dnsmasq listens in time");
        it
    }

    /// Has it read `hosts` from now on.
    fn tell(&self, hosts: &str) {
        fs::write(&self.hosts, hosts).expect("written");
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("the child is ours to signal");
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for datagrams and streams.
fn free() -> SocketAddr {
    loop {
        let streams = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = streams.local_addr().expect("it is bound");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn asking(dnsmasq: &Dnsmasq, endpoint: &str) -> String {
    let resolver =
        format!("resolver: {{ servers: [\"{}\"], timeout: 1s, search: [] }}\n", dnsmasq.address);
    one_pool(&[endpoint.to_owned()], &resolver)
}

async fn serving(count: u8) -> u16 {
    let origins = Origin::start_alike(count).await;
    let port = origins[0].address().port();
    for (origin, last) in origins.into_iter().zip(1u8..) {
        origin.serve(move |_| ok(&last.to_string()));
    }
    port
}

#[tokio::test]
async fn a_name_is_followed_through_change_failure_and_hundreds_of_addresses() {
    let port = serving(3).await;
    let dnsmasq = Dnsmasq::start("127.0.0.1 web.shop\n127.0.0.2 web.shop\n", &[]).await;
    let endpoint = format!("{{ dns: {{ name: web.shop, port: {port} }} }}");
    let usher = Usher::start(&asking(&dnsmasq, &endpoint)).await;
    let mut client = Client::connect(usher.address()).await;
    usher.reaches(UP, 2.0).await;
    dnsmasq.tell("127.0.0.3 web.shop\n");
    usher.reaches(UP, 1.0).await;
    assert_eq!(client.get("/").await.text(), "3");
    // There is no such name any more; then there is no server.
    let nothing = r#"usher_dns_lookups_total{name="web.shop",source="dns",result="nothing"}"#;
    let failed = r#"usher_dns_lookups_total{name="web.shop",source="dns",result="failed"}"#;
    dnsmasq.tell("");
    usher.reaches(nothing, 1.0).await;
    assert_eq!(client.get("/").await.text(), "3");
    dnsmasq.signal(Signal::STOP);
    usher.reaches(failed, 1.0).await;
    assert_eq!((client.get("/").await.text(), usher.samples().get(UP)), ("3", 1.0));
    dnsmasq.signal(Signal::CONT);
    let many: String = (1..=250).map(|last| format!("127.0.1.{last} web.shop\n")).collect();
    dnsmasq.tell(&many);
    usher.reaches(UP, 250.0).await;
    usher.stop().await;
}

#[tokio::test]
async fn a_service_is_followed_to_its_targets() {
    let port = serving(2).await;
    let hosts = "127.0.0.1 web-0.shop\n127.0.0.2 web-1.shop\n";
    let service = |target: &str| format!("--srv-host=_http._tcp.web.shop,{target},{port}");
    let arguments = [service("web-0.shop"), service("web-1.shop"), service("gone.shop")];
    let dnsmasq = Dnsmasq::start(hosts, &arguments).await;
    let usher = Usher::start(&asking(&dnsmasq, "{ dns: { srv: _http._tcp.web.shop } }")).await;
    usher.reaches(UP, 2.0).await;
    let mut client = Client::connect(usher.address()).await;
    while client.get("/").await.text() != "2" {}
    dnsmasq.tell("127.0.0.1 web-0.shop\n");
    usher.reaches(UP, 1.0).await;
    assert_eq!(client.get("/").await.text(), "1");
    usher.stop().await;
}
