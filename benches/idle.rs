//! What an idle connection costs in memory: `cargo bench --bench idle`.
//!
//! All of usher runs in this process, with the allocator of the binary, in front of an origin of
//! its own. Clients are plain sockets, which own no memory here. Each row opens connections, uses
//! them one after the other in its way and leaves them idle; what this process has in memory by
//! then and had not before is divided among them. Shared buffers are part of it, the kernel's
//! memory for sockets is not. It fails when a row exceeds [`BYTES_MAX`].
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::{
    env,
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, ExitCode},
    thread,
};

use usher::{
    app::{self, Origin, Remote},
    config::{self, LoadOptions},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 4_000;
const BYTES_MAX: u64 = 4 * 1024;

type Failure = Box<dyn Error>;

/// How a connection is used before it is left idle.
struct Use {
    name: &'static str,
    requests: Vec<String>,
}

/// Measures every use in a process of its own, where nothing is left of another one.
fn main() -> ExitCode {
    let asked = env::args().nth(1).and_then(|number| number.parse::<usize>().ok());
    let result = match asked.and_then(|number| uses().into_iter().nth(number)) {
        Some(used) => measure(&used),
        None => measure_all(),
    };
    match result {
        Ok(worst) if worst <= BYTES_MAX => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table.
fn measure_all() -> Result<u64, Failure> {
    println!("{:<44} bytes each", format!("{CONNECTIONS} idle connections"));
    let mut worst = 0;
    for number in 0..uses().len() {
        let measured = Command::new(env::current_exe()?).arg(number.to_string()).status()?;
        worst = worst.max(if measured.success() { 0 } else { u64::MAX });
    }
    Ok(worst)
}

/// Prints one line of it.
fn measure(used: &Use) -> Result<u64, Failure> {
    let origin = serve()?;
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\ncontrol: off\nmetrics: off\naccess_log: off\n\
         workers: 2\ndrain: {{ grace: 0s }}\n\
         limits: {{ connections: 100000, per_client: 100000, keep_alive: 10m }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{origin}], capacity: 5 }} }}\n"
    );
    let parsed = config::parse_text("idle.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.map_err(|problems| problems.to_string())?;
    let bound = app::build(config, Origin::default())?;
    let (address, remote) = (bound.addresses().listeners[0], bound.remote());
    let house = thread::spawn(move || bound.run());
    // Once for what is only made at the first time, and kept.
    drop(occupy(address, &remote, used, 16)?);
    until(|| connections(&remote) == 0);
    let before = resident()?;
    let held = occupy(address, &remote, used, CONNECTIONS)?;
    let each = resident()?.saturating_sub(before) / CONNECTIONS as u64;
    println!("{:<44} {each:>10}", used.name);
    drop(held);
    remote.stop();
    house.join().map_err(|_| "usher panicked")??;
    Ok(each)
}

fn uses() -> Vec<Use> {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let cookies = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "a=b; ".repeat(2000));
    let body = "x".repeat(60 * 1024);
    let post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    vec![
        Use { name: "never used", requests: Vec::new() },
        Use { name: "after a request", requests: vec![get.clone()] },
        Use { name: "after ten requests", requests: vec![get; 10] },
        Use { name: "after a request with 10 KB of cookies", requests: vec![cookies] },
        Use { name: "after an upload of 60 KiB", requests: vec![post] },
    ]
}

/// Opens connections, uses each, and leaves them idle.
fn occupy(
    address: SocketAddr,
    remote: &Remote,
    used: &Use,
    count: usize,
) -> Result<Vec<TcpStream>, Failure> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address)?;
        for request in &used.requests {
            stream.write_all(request.as_bytes())?;
            read_answer(&mut stream)?;
        }
        held.push(stream);
    }
    until(|| connections(remote) >= count as u64);
    Ok(held)
}

/// Reads one answer of the origin's, whose body ends with its only `!`.
fn read_answer(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err("usher closed a connection".into()),
            read if buffer[..read].ends_with(b"!") => return Ok(()),
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
