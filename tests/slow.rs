//! Debian's `slowhttptest` against the real program with short limits: every slow connection ends.
//!
//! `slowhttptest` stops by itself once none of its connections is open, long before its own end.

#[path = "http/program.rs"]
mod program;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use program::Program;

const CONNECTIONS: &str = "20";
const LIMITS: &str = "head_wait: 1s, body_rate: 1KiB/s, write_wait: 1s, keep_alive: 1s";
/// More than all buffers between an origin and a client that does not read.
const LARGE_BYTES: usize = 32 << 20;

#[test]
fn a_head_that_comes_by_drops_ends_at_the_deadline() {
    let usher = Program::start(&origin(2).to_string(), LIMITS);
    let url = format!("http://{}/", usher.address);
    // A field every other second, each far from enough to be rid of the deadline.
    play(&["-H", "-i", "2", "-u", &url]);
    assert_eq!(fault(&usher, "head_timeout"), 20);
}

#[test]
fn a_body_that_comes_by_drops_ends_when_its_patience_is_used_up() {
    let usher = Program::start(&origin(2).to_string(), LIMITS);
    let url = format!("http://{}/", usher.address);
    play(&["-B", "-i", "2", "-s", "100000", "-u", &url]);
    assert_eq!(fault(&usher, "body_timeout"), 20);
}

#[test]
fn an_answer_that_nobody_reads_is_cut_off() {
    let usher = Program::start(&origin(LARGE_BYTES).to_string(), LIMITS);
    let url = format!("http://{}/", usher.address);
    // Fewer than there are slots, since it looks with one more whether the service is there.
    // It does not notice that usher has cut a connection that it seldom reads from.
    let mut child = command(&["-X", "-c", "3", "-w", "100", "-y", "200", "-n", "1", "-u", &url])
        .stdout(Stdio::null())
        .spawn()
        .expect("slowhttptest runs");
    loop {
        let cut = fault(&usher, "client_stalled");
        if cut >= 3 {
            break;
        }
        let ended = child.try_wait().expect("it can be asked");
        let left = fault(&usher, "client_left");
        assert_eq!(ended, None, "{cut} were cut off, {left} left by themselves");
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}

/// Runs `slowhttptest`, and checks that usher has closed all its connections.
fn play(arguments: &[&str]) {
    let output = command(arguments).output().expect("slowhttptest runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("No open connections left"), "{said}");
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("slowhttptest");
    command.args(["-c", CONNECTIONS, "-r", "100", "-l", "30", "-p", "3"]).args(arguments);
    command
}

/// How often usher has counted `fault`.
fn fault(usher: &Program, fault: &str) -> u64 {
    let mut stream = TcpStream::connect(usher.metrics).expect("the metrics port is open");
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let label = format!("fault=\"{fault}\"");
    let lines = text.lines().filter(|line| line.starts_with("usher_faults_total{"));
    let counts = lines.filter(|line| line.contains(&label)).map(|line| {
        let count = line.rsplit_once(' ').expect("a sample has a value").1;
        count.parse::<u64>().expect("a count")
    });
    counts.sum()
}

/// Answers every request with a body of so many bytes.
fn origin(length: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || answer(stream, length));
        }
    });
    address
}

fn answer(mut stream: TcpStream, length: usize) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'.'; length]].concat();
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        asked.extend_from_slice(&part[..read]);
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}
