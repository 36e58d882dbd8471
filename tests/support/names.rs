//! A name server that says what it is told to, written by hand from RFC 1035 and RFC 2782.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

pub const A: u16 = 1;
const CNAME: u16 = 5;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// What the server does when it is asked.
#[derive(Clone, Debug)]
pub enum Saying {
    /// It gives these records; none: the name is there, and has none of this kind.
    Records(Vec<Record>),
    /// The same, over TCP only: a datagram says that it was cut.
    TooLarge(Vec<Record>),
    /// After answers to other questions, as somebody might send who wants to be believed.
    AmongLies(Vec<Record>),
    /// This response code, and nothing else. 3: there is no such name.
    Code(u8),
    /// An answer to what was asked, with bytes that are no records.
    Garbage,
    /// Nothing.
    Silence,
}

/// A record of the name that was asked for.
#[derive(Clone, Debug)]
pub struct Record {
    pub ttl: u32,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub enum Data {
    Address(IpAddr),
    /// The name that was asked for is another's alias, which has these addresses.
    Alias(String, Vec<IpAddr>),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, String),
}

/// The server. It answers until its runtime ends.
#[derive(Clone)]
pub struct Names {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sayings: HashMap<(String, u16), Saying>,
    asked: Vec<(String, u16)>,
}

// === impl Names ===

impl Names {
    /// A server that knows no name.
    pub async fn start() -> Self {
        let (datagrams, streams) = loop {
            let streams = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = streams.local_addr().expect("it is bound");
            if let Ok(datagrams) = UdpSocket::bind(address).await {
                break (datagrams, streams);
            }
        };
        let address = streams.local_addr().expect("it is bound");
        let names = Self { address, state: Arc::default() };
        tokio::spawn(names.clone().answer_datagrams(datagrams));
        tokio::spawn(names.clone().answer_streams(streams));
        names
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it says this of `name` (without a dot at its end).
    pub fn say(&self, name: &str, kind: u16, saying: Saying) {
        self.state.lock().sayings.insert((name.to_owned(), kind), saying);
    }

    /// `name` has these addresses of IPv4 from now on, for a moment each time.
    pub fn tell(&self, name: &str, addresses: &[IpAddr]) {
        self.say(name, A, Saying::Records(addresses.iter().copied().map(address).collect()));
    }

    /// How often it was asked for `name`.
    pub fn asked(&self, name: &str, kind: u16) -> usize {
        let state = self.state.lock();
        state.asked.iter().filter(|(asked, of)| asked == name && *of == kind).count()
    }

    async fn answer_datagrams(self, socket: UdpSocket) {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..length];
            for answer in self.answers(query, false) {
                let _ = socket.send_to(&answer, peer).await;
            }
        }
    }

    async fn answer_streams(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let names = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    if stream.read_exact(&mut query).await.is_err() {
                        return;
                    }
                    for answer in names.answers(&query, true) {
                        let length = u16::try_from(answer.len()).expect("it is short");
                        let _ = stream.write_u16(length).await;
                        let _ = stream.write_all(&answer).await;
                    }
                }
            });
        }
    }

    fn answers(&self, query: &[u8], whole: bool) -> Vec<Vec<u8>> {
        let (name, kind, end) = question(query);
        let saying = {
            let mut state = self.state.lock();
            state.asked.push((name.clone(), kind));
            state.sayings.get(&(name.clone(), kind)).cloned()
        };
        let known = |records: &[Record]| answer(query, end, kind, 0, false, records);
        match saying {
            // A name that has records of another kind is there.
            None if self.state.lock().sayings.keys().any(|(other, _)| *other == name) => {
                vec![known(&[])]
            }
            None => vec![answer(query, end, kind, 3, false, &[])],
            Some(Saying::Silence) => Vec::new(),
            Some(Saying::Garbage) => {
                let head = [&query[..2], &[0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0]].concat();
                vec![[&head, &query[12..end], b"\xc0\x0c\xffgarbage"].concat()]
            }
            Some(Saying::Code(code)) => vec![answer(query, end, kind, code, false, &[])],
            Some(Saying::TooLarge(_)) if !whole => {
                vec![answer(query, end, kind, 0, true, &[])]
            }
            Some(Saying::Records(records) | Saying::TooLarge(records)) => vec![known(&records)],
            Some(Saying::AmongLies(records)) => {
                let lie = [address(IpAddr::from([127, 6, 6, 6]))];
                let mut other_id = answer(query, end, kind, 0, false, &lie);
                other_id[0] ^= 0xff;
                let mut other_name = answer(query, end, kind, 0, false, &lie);
                other_name[13] ^= 0x01;
                vec![other_id, other_name, b"no DNS at all".to_vec(), known(&records)]
            }
        }
    }
}

// === free functions ===

pub fn address(address: IpAddr) -> Record {
    Record { ttl: 0, data: Data::Address(address) }
}

/// The name in lower case, the kind, and where the question ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]), at + 5)
}

fn answer(query: &[u8], end: usize, kind: u16, code: u8, cut: bool, records: &[Record]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut count = 0u16;
    for record in records {
        match &record.data {
            Data::Address(ip) => push(&mut body, &[0xc0, 12], kind, record.ttl, &bytes(*ip)),
            Data::Service(priority, weight, port, target) => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                let data = [numbers, name(target)].concat();
                push(&mut body, &[0xc0, 12], kind, record.ttl, &data);
            }
            Data::Alias(other, addresses) => {
                push(&mut body, &[0xc0, 12], CNAME, record.ttl, &name(other));
                for ip in addresses {
                    push(&mut body, &name(other), kind, record.ttl, &bytes(*ip));
                }
                count += u16::try_from(addresses.len()).expect("few");
            }
        }
        count += 1;
    }
    let flags = [0x81 | if cut { 2 } else { 0 }, 0x80 | code];
    let counts = [[0, 1], count.to_be_bytes(), [0, 0], [0, 0]].concat();
    [&query[..2], &flags, &counts, &query[12..end], &body].concat()
}

fn push(body: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    body.extend(owner);
    body.extend(kind.to_be_bytes());
    body.extend([0, 1]);
    body.extend(ttl.to_be_bytes());
    body.extend(u16::try_from(data.len()).expect("it is short").to_be_bytes());
    body.extend(data);
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
