//! What an idle connection costs in memory: `cargo bench --bench idle`.
//!
//! All of usher runs in this process, with the allocator of the binary, in front of an origin of
//! its own. Clients own no memory here: those in plain text are sockets, and those that speak TLS
//! keep of their session no more than the socket once they are idle. Each row opens connections,
//! uses them one after the other in its way and leaves them idle; what this process has in memory
//! by then and had not before is divided among them. Shared buffers are part of it, the kernel's
//! memory for sockets is not. It fails when a row exceeds its bound.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::{
    env,
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, ExitCode},
    sync::Arc,
    thread,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, client::Resumption};
use usher::{
    app::{self, Origin, Remote},
    config::{self, LoadOptions},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 4_000;

/// The most that one in plain text may cost.
const PLAIN_BYTES_MAX: u64 = 4 * 1024;

/// The most that one over HTTP/1.1 within TLS may cost.
const TLS_BYTES_MAX: u64 = 16 * 1024;

/// The most that one over HTTP/2 may cost, within TLS or without.
const HTTP2_BYTES_MAX: u64 = 40 * 1024;

/// SETTINGS as a browser sends them first: none, and the preface before it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// GET / of `a`, as HPACK writes it without any table of its own (RFC 7541 §6), on stream 1.
const HTTP2_GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";

type Failure = Box<dyn Error>;

/// How a connection is used before it is left idle.
struct Use {
    name: &'static str,
    speaks: Speaks,
    requests: Vec<Vec<u8>>,
    /// The most that a connection may cost.
    bytes_max: u64,
}

/// What a client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Plain,
    Tls,
    Http2,
    Http2InTls,
}

/// Measures every use in a process of its own, where nothing is left of another one.
fn main() -> ExitCode {
    let asked = env::args().nth(1).and_then(|number| number.parse::<usize>().ok());
    let result = match asked.and_then(|number| uses().into_iter().nth(number)) {
        Some(used) => measure(&used),
        None => measure_all(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table; whether each row is within its bound.
fn measure_all() -> Result<bool, Failure> {
    println!("{:<44} bytes each", format!("{CONNECTIONS} idle connections"));
    let mut good = true;
    for number in 0..uses().len() {
        good &= Command::new(env::current_exe()?).arg(number.to_string()).status()?.success();
    }
    Ok(good)
}

/// Prints one line of it; whether it is within its bound.
fn measure(used: &Use) -> Result<bool, Failure> {
    let origin = serve()?;
    let (directory, client) = secrets(used.speaks)?;
    let how = match used.speaks {
        Speaks::Plain => String::new(),
        Speaks::Http2 => ", h2c: on".to_owned(),
        Speaks::Tls | Speaks::Http2InTls => {
            let at = directory.path().display();
            format!(
                ", tls: {{ certificates: [{{ cert: {at}/a.crt, key: {at}/a.key }}], hosts: any }}"
            )
        }
    };
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0{how} }}]\ncontrol: off\nmetrics: off\naccess_log: off\n\
         workers: 2\ndrain: {{ grace: 0s }}\n\
         limits: {{ connections: 100000, per_client: 100000, keep_alive: 10m }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{origin}], capacity: 5 }} }}\n"
    );
    let parsed = config::parse_text("idle.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.map_err(|problems| problems.to_string())?;
    let bound = app::build(config, Origin::default())?;
    let (address, remote) = (bound.addresses().listeners[0].socket().expect("TCP"), bound.remote());
    let house = thread::spawn(move || bound.run());
    // Once for what is only made at the first time, and kept.
    drop(occupy(address, &remote, used, &client, 16)?);
    until(|| connections(&remote) == 0);
    let before = resident()?;
    let held = occupy(address, &remote, used, &client, CONNECTIONS)?;
    let each = resident()?.saturating_sub(before) / CONNECTIONS as u64;
    println!("{:<44} {each:>10}", used.name);
    drop(held);
    remote.stop();
    house.join().map_err(|_| "usher panicked")??;
    Ok(each <= used.bytes_max)
}

fn uses() -> Vec<Use> {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let cookies = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "a=b; ".repeat(2000));
    let body = "x".repeat(60 * 1024);
    let post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let http2 = [PREFACE, HTTP2_GET].concat();
    let row = |name, speaks, bytes_max, requests| Use { name, speaks, requests, bytes_max };
    let plain = |name, requests| row(name, Speaks::Plain, PLAIN_BYTES_MAX, requests);
    let tls = |name, bytes_max, requests| row(name, Speaks::Tls, bytes_max, requests);
    let http2 = |name, speaks| row(name, speaks, HTTP2_BYTES_MAX, vec![http2.clone()]);
    vec![
        plain("never used", Vec::new()),
        plain("after a request", vec![get.clone()]),
        plain("after ten requests", vec![get.clone(); 10]),
        plain("after a request with 10 KB of cookies", vec![cookies.into_bytes()]),
        plain("after an upload of 60 KiB", vec![post.clone().into_bytes()]),
        tls("TLS, never used", TLS_BYTES_MAX, Vec::new()),
        tls("TLS, after a request", TLS_BYTES_MAX, vec![get]),
        tls("TLS, after an upload of 60 KiB", TLS_BYTES_MAX, vec![post.into_bytes()]),
        http2("HTTP/2, after a request", Speaks::Http2),
        http2("HTTP/2 in TLS, after a request", Speaks::Http2InTls),
    ]
}

/// A certificate in a directory, and how a client connects that believes it.
fn secrets(speaks: Speaks) -> Result<(tempfile::TempDir, Arc<ClientConfig>), Failure> {
    let directory = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["a".to_owned()])?;
    fs::write(directory.path().join("a.crt"), made.cert.pem())?;
    fs::write(directory.path().join("a.key"), made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    if speaks == Speaks::Http2InTls {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok((directory, Arc::new(config)))
}

/// Opens connections, uses each, and leaves them idle.
fn occupy(
    address: SocketAddr,
    remote: &Remote,
    used: &Use,
    client: &Arc<ClientConfig>,
    count: usize,
) -> Result<Vec<TcpStream>, Failure> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        match used.speaks {
            Speaks::Plain | Speaks::Http2 => ask_all(&mut stream, used)?,
            Speaks::Tls | Speaks::Http2InTls => {
                let session = ClientConnection::new(client.clone(), "a".try_into()?)?;
                // What is left of it is the socket: the session's memory is not usher's.
                let mut secure = StreamOwned::new(session, stream);
                while secure.conn.is_handshaking() {
                    secure.conn.complete_io(&mut secure.sock)?;
                }
                ask_all(&mut secure, used)?;
                stream = secure.sock;
            }
        }
        held.push(stream);
    }
    until(|| connections(remote) >= count as u64);
    Ok(held)
}

/// Sends each request and reads its answer.
fn ask_all(stream: &mut (impl Read + Write), used: &Use) -> Result<(), Failure> {
    for request in &used.requests {
        stream.write_all(request)?;
        stream.flush()?;
        read_answer(stream)?;
    }
    Ok(())
}

/// Reads one answer of the origin's, whose body holds its only `!` and ends with it.
fn read_answer(stream: &mut impl Read) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err("usher closed a connection".into()),
            // Over HTTP/2 the frame that ends the stream may come behind it, or not.
            read if buffer[..read].contains(&b'!') => return Ok(()),
            _ => {}
        }
    }
}

/// An origin that answers everything with 1 KiB.
fn serve() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n{:x>1024}", "!");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || answer_all(stream, answer.as_bytes()));
        }
    });
    Ok(address)
}

/// A request has come when no more bytes than its length says are missing.
fn answer_all(mut stream: TcpStream, answer: &[u8]) -> Option<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let text = std::str::from_utf8(&request).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(Ok(0), str::parse).ok()? {
            request.clear();
            stream.write_all(answer).ok()?;
        }
    }
}

fn connections(remote: &Remote) -> u64 {
    let text = remote.metrics();
    let mut lines = text.lines().filter(|line| line.starts_with("usher_connections{"));
    lines.next().and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

fn until(reached: impl Fn() -> bool) {
    while !reached() {
        thread::yield_now();
    }
}

/// What this process alone has in memory and has written to, in bytes.
fn resident() -> Result<u64, Failure> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no Private_Dirty")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
