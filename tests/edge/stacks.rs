//! IPv6 and IPv4 at one port, and what every connection is given.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::TcpStream;

use crate::support::{
    client::Client,
    origin::{Asked, Origin, ok},
    usher::{Usher, listener_tls},
    wire::Wire,
};

/// What Rails was told, as `audience for`.
fn told(asked: &Asked) -> Vec<u8> {
    let field = |name| asked.field(name).unwrap_or("-").to_owned();
    ok(&["x-audience", "x-forwarded-for"].map(field).join(" "))
}

/// A client that connects to the port of `address` at `ip`.
async fn connect(address: SocketAddr, ip: IpAddr) -> io::Result<Client> {
    let socket = TcpStream::connect(SocketAddr::new(ip, address.port())).await?;
    Wire::on(socket).await.map(Client::on)
}

/// An usher at any port of every address, whose audiences go by network, with `more`.
async fn start(endpoint: &str, more: &str) -> Usher {
    let text = format!(
        "{more}\nlisteners: [{{ bind: \"[::]:0\", limits: {{ per_client: 1 }}{} }}]\n\
         control: off\nmetrics: off\naccess_log: off\ndrain: {{ grace: 0s }}\n\
         audiences:\n\
         - {{ name: four, pool: rails, match: [{{ client: 127.0.0.0/8 }}] }}\n\
         - {{ name: six, pool: rails, match: [{{ client: \"::1\" }}] }}\n\
         - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n",
        listener_tls()
    );
    Usher::start(&text).await
}

#[tokio::test]
async fn one_port_takes_both_and_a_mapped_address_is_one_of_ipv4() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(told);
    let usher = start(&endpoint, "").await;
    let address = usher.address();
    let mut four = connect(address, Ipv4Addr::LOCALHOST.into()).await.expect("it is taken");
    assert_eq!(four.get("/").await.text(), "four 127.0.0.1");
    let mut six = connect(address, Ipv6Addr::LOCALHOST.into()).await.expect("it is taken");
    assert_eq!(six.get("/").await.text(), "six ::1");
    // Each is counted by the address that it has: one of each is here.
    // Over TLS no hands are shaken with one too many.
    if let Ok(mut crowded) = connect(address, Ipv4Addr::LOCALHOST.into()).await {
        assert!(crowded.closed().await.is_empty());
    }
    drop((four, six));
    usher.stop().await;
}

#[tokio::test]
async fn a_trusted_network_of_ipv4_is_believed_at_a_port_of_both() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(told);
    let usher = start(&endpoint, "trusted_proxies: [127.0.0.0/8]").await;
    let ask = async |ip: IpAddr, who: &str| {
        let mut client = connect(usher.address(), ip).await.expect("it is taken");
        let field = format!("X-Forwarded-For: {who}");
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")).await;
        client.answer().await.text().to_owned()
    };
    let four = Ipv4Addr::LOCALHOST.into();
    assert_eq!(ask(four, "192.0.2.7").await, "everyone 192.0.2.7, 127.0.0.1");
    // A proxy that writes them so means an address of IPv4 as well.
    assert_eq!(ask(four, "::ffff:127.9.9.9").await, "four ::ffff:127.9.9.9, 127.0.0.1");
    assert_eq!(ask(Ipv6Addr::LOCALHOST.into(), "192.0.2.7").await, "six ::1");
    usher.stop().await;
}

/// The system's timer of usher's side of a connection: `02` is keep-alive, with what is left of it
/// in hundredths of a second (proc_net_tcp).
fn timer(local: SocketAddr, peer: SocketAddr) -> Option<(u8, u64)> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    let port = |at: &str| u16::from_str_radix(at.rsplit(':').next().unwrap_or(""), 16).ok();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut own = row.filter(|row| {
        row.len() > 5 && port(row[1]) == Some(local.port()) && port(row[2]) == Some(peer.port())
    });
    let (kind, left) = own.next()?[5].split_once(':')?;
    Some((kind.parse().ok()?, u64::from_str_radix(left, 16).ok()?))
}

#[tokio::test]
async fn an_idle_connection_is_looked_after_by_the_system_within_a_minute() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(told);
    let usher = Usher::start(&crate::support::usher::one_pool(&[endpoint], "")).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    let peer = client.stream.local_addr().expect("an address");
    // What was sent is acknowledged by the time that the answer has come, or a moment later.
    let set = async {
        loop {
            match timer(usher.address(), peer) {
                Some((2, left)) => return left,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let left = tokio::time::timeout(crate::support::origin::PATIENCE, set).await;
    assert!(left.expect("it is set in time") <= 60 * 100);
    drop(client);
    usher.stop().await;
}
