//! What a whole request allocates between its first byte from the client and the last byte of its
//! answer: one worker, one kept connection on either side, 1 KiB of answer.
//!
//! Only the worker's thread is counted; the client on it allocates nothing, and the origin is a
//! thread of its own. The times are those of loopback and of two threads that wake each other, so
//! the columns to look at are those of the allocations.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream as StdStream},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};
use usher::{
    config::{self, LoadOptions},
    drain::{self, Drainer},
    edge::{
        Load, Stream,
        h1::{self, Rules},
        h2,
    },
    meters::Meters,
    peer::Peer,
    proxy::{Common, Crew, Memory, Proxy, Pulse, Spool, Tunnels, Worker},
    snapshot::{Published, World},
    telemetry::{AccessLog, access_log::Target},
    upstream::Shelves,
    verbs::Gates,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const BODY_BYTES: usize = 1024;

/// How many requests `usher why` can tell about by default.
const REMEMBERED: usize = 10_000;

/// What a browser behind a load balancer may send.
const REQUEST: &str = "GET /menus/1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\n\
                       Accept: text/html, */*\r\nAccept-Encoding: gzip\r\n\
                       Cookie: visitor=1\r\n\r\n";

/// The preface, no settings, and room for all answers that there will be.
const HTTP2_BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x04\x08\0\0\0\0\0\x7f\0\0\0";

/// The same request in fields of HPACK, literal and without any state.
const HTTP2_REQUEST: &[u8] = b"\x82\x86\x04\x08/menus/1\x01\x0cshop.example\x0f\x2b\x05bench\
    \x0f\x04\x0etext/html, */*\x0f\x01\x04gzip\x0f\x11\x09visitor=1";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A client of a worker that runs on this thread.
struct Bench {
    runtime: Runtime,
    client: TcpStream,
    answer: Vec<u8>,
    /// Bytes of an answer; all are the same.
    length: usize,
    /// The next stream over HTTP/2.
    stream: u32,
    _drainer: Drainer,
}

fn main() {
    divan::main();
}

#[divan::bench]
fn without_access_log(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::start(Target::Off, REMEMBERED);
    bencher.bench_local(|| bench.exchange());
}

#[divan::bench]
fn without_access_log_and_nothing_remembered(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::start(Target::Off, 0);
    bencher.bench_local(|| bench.exchange());
}

#[divan::bench]
fn over_http2(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::start_http2(Target::Off, REMEMBERED);
    bencher.bench_local(|| bench.exchange_http2());
}

#[divan::bench]
fn with_access_log(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::start(Target::Stdout, REMEMBERED);
    bencher.bench_local(|| bench.exchange());
}

// === impl Bench ===

impl Bench {
    /// One exchange has been made when it returns, so that both connections are there.
    fn start(log: Target, remembered: usize) -> Self {
        let mut bench = Self::connect(log, remembered, false);
        bench.exchange();
        let head = bench.answer.windows(4).position(|window| window == b"\r\n\r\n");
        bench.length = head.expect("the head came at once") + 4 + BODY_BYTES;
        bench.exchange();
        bench
    }

    /// The same over HTTP/2 in plain text.
    fn start_http2(log: Target, remembered: usize) -> Self {
        let mut bench = Self::connect(log, remembered, true);
        let Self { runtime, client, .. } = &mut bench;
        runtime.block_on(async {
            client.write_all(HTTP2_BEGINNING).await.expect("usher reads");
        });
        bench.exchange_http2();
        bench.exchange_http2();
        bench
    }

    fn connect(log: Target, remembered: usize, h2c: bool) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (drainer, drain) = drain::channel();
        let proxy = runtime.block_on(async {
            let common = common(origin(), log, remembered, drain.clone());
            Proxy::new(Worker::start(0, Arc::new(common)))
        });
        let client = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let local = listener.local_addr().expect("an address");
            let (client, accepted) = tokio::join!(TcpStream::connect(local), listener.accept());
            let (socket, address) = accepted.expect("a connection");
            let (address, listener) = (Some(address), local.into());
            let peer = Peer { address, local: Some(local), listener, trusted: false, tls: None };
            let peer = Arc::new(peer);
            let wheel = usher::deadline::Wheel::start();
            let rules = Arc::new(Rules::default());
            let stream = Stream::plain(socket);
            if h2c {
                let load = Load::default();
                let early = Bytes::new();
                tokio::spawn(h2::serve(stream, early, peer, rules, wheel, drain, load, proxy));
            } else {
                tokio::spawn(h1::serve(stream, peer, rules, wheel, drain, proxy));
            }
            client.expect("a connection")
        });
        let answer = vec![0; 16 * 1024];
        Self { runtime, client, answer, length: 1, stream: 1, _drainer: drainer }
    }

    fn exchange(&mut self) {
        let Self { runtime, client, answer, length, .. } = self;
        runtime.block_on(async {
            client.write_all(REQUEST.as_bytes()).await.expect("usher reads");
            let mut read = 0;
            while read < *length {
                read += client.read(&mut answer[read..]).await.expect("usher answers");
            }
        });
    }
}

impl Bench {
    /// The same request and answer, as frames. The client looks at nothing but their headers.
    fn exchange_http2(&mut self) {
        let Self { runtime, client, answer, stream, .. } = self;
        let mut request = [0; HTTP2_REQUEST.len() + 9];
        request[2] = HTTP2_REQUEST.len() as u8;
        request[3..5].copy_from_slice(&[HEADERS, END_STREAM | END_HEADERS]);
        request[5..9].copy_from_slice(&stream.to_be_bytes());
        request[9..].copy_from_slice(HTTP2_REQUEST);
        *stream += 2;
        runtime.block_on(async {
            client.write_all(&request).await.expect("usher reads");
            let mut read = 0;
            loop {
                read += client.read(&mut answer[read..]).await.expect("usher answers");
                let mut at = 0;
                while let Some(&[_, high, low, kind, flags, ..]) =
                    answer[at..read].first_chunk::<9>()
                {
                    at += 9 + ((usize::from(high) << 8) | usize::from(low));
                    if kind == DATA && flags & END_STREAM != 0 && at <= read {
                        return;
                    }
                }
            }
        });
    }
}

fn common(origin: SocketAddr, target: Target, remembered: usize, drain: drain::Drain) -> Common {
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         audiences:\n\
         - {{ name: driver, pool: rails, match: [{{ path: /api/driver/** }}] }}\n\
         - {{ name: customer, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{origin}], capacity: 5 }} }}\n"
    );
    let parsed = config::parse_text("bench.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let meters = Meters::new(1, &[]);
    let snapshot = World::new(meters.clone()).compile(Arc::new(config), 1);
    // Nobody drains the lines here: a full buffer drops them, after they have been written.
    let (log, _writer) = AccessLog::start(target, 1).expect("a log");
    Common {
        published: Published::new(Arc::new(snapshot)),
        meters,
        log,
        gates: Gates::default(),
        memory: Memory::new(1, remembered),
        buffers: Arc::default(),
        spool: Spool::default(),
        drain,
        pseudonym: Common::draw_pseudonym(),
        tunnels: Arc::new(Tunnels::default()),
        pulse: Pulse::of(1),
        shelves: Arc::new(Shelves::of(1)),
        crew: Crew::of(1),
    }
}

/// Answers whatever comes on its only connection.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'x'; BODY_BYTES]].concat();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        while answered(&mut socket, &mut request, &answer) {}
    });
    address
}

fn answered(socket: &mut StdStream, request: &mut [u8], answer: &[u8]) -> bool {
    let read = socket.read(request).unwrap_or(0);
    read > 0 && socket.write_all(answer).is_ok()
}
