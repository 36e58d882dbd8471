//! Bodies far larger than the memory that usher may have.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    process::Command,
};

use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{Pair, curl::curl, support::origin::PATIENCE};

/// By how much usher's resident memory may grow: a debug build's own code is more than all else.
const GROWTH_KIB_MAX: u64 = 40 * 1024;

const UPLOAD_BYTES: usize = 100_000_000;
const DOWNLOAD_BYTES: u64 = 500_000_000;

#[tokio::test]
async fn a_hundred_megabytes_go_up_gathered_into_a_file_first() {
    let spool = tempfile::tempdir().unwrap();
    let buffer = format!("    buffer: {{ directory: {} }}\n", spool.path().display());
    goes_up(&buffer).await;
    assert_eq!(spool.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_hundred_megabytes_go_up_as_they_come() {
    goes_up("    buffer: { request: off }\n").await;
}

#[tokio::test]
async fn a_gigabyte_comes_down_byte_for_byte() {
    let pair = Pair::start(2, "").await;
    let before = pair.usher.memory_kib("VmHWM");
    for query in ["", "?chunked=1"] {
        let answer = pair.open(Method::GET, &format!("/bytes/{DOWNLOAD_BYTES}{query}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().contains_key("content-length"), query.is_empty());
        let mut expected = Pattern::default();
        let mut body = answer.into_body();
        while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("it goes on") {
            expected.check(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(expected.offset, DOWNLOAD_BYTES);
    }
    holds_little_memory(&pair, before);
    pair.stop().await;
}

/// Readers take a piece of their answers in turn, and a whole other request lies between two
/// pieces: without back-pressure everything would be in usher long before the end.
#[tokio::test]
async fn slow_readers_of_large_answers_cost_no_memory() {
    let pair = Pair::start(6, "").await;
    let before = pair.usher.memory_kib("VmHWM");
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(Reader::open(&pair).await);
    }
    let mut after = Vec::new();
    for _ in 0..3 {
        for _ in 0..40 {
            for reader in &mut readers {
                reader.read().await;
            }
            assert_eq!(pair.text(Method::GET, "/up").await, "up\n");
        }
        after.push(pair.usher.memory_kib("VmRSS"));
    }
    // The allocator takes 4 MiB at a time; without back-pressure it would be hundreds of them.
    assert!(after[2] <= after[0] + 16 * 1024, "it grows: {after:?} KiB");
    holds_little_memory(&pair, before);
    drop(readers);
    let samples = pair.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["abandoned"]), 4.0);
}

async fn goes_up(buffer: &str) {
    let pair = Pair::start(2, buffer).await;
    let before = pair.usher.memory_kib("VmHWM");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("upload");
    write_upload(&file).unwrap();
    let digest = Command::new("sha256sum").arg(&file).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    // Curl asks before it sends, and would wait for the word longer than it may take in all; from
    // standard input it does not know the length. Without a type Rack would take it for a form and
    // read some of it before the application does.
    let upload = file.to_str().unwrap();
    for (source, length) in [(upload, "Content-Length"), ("-", "Transfer-Encoding")] {
        let answer = curl(
            &["-T", source, "-X", "POST", "-v", "--expect100-timeout", "600"],
            &["-H", "Content-Type: application/octet-stream", &pair.url("/upload")],
            File::open(&file).unwrap(),
        );
        for said in [format!("> {length}: "), "< HTTP/1.1 100 Continue".to_owned()] {
            assert!(answer.stderr.contains(&said), "{said}: {}", answer.stderr);
        }
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!(answer["bytes"], UPLOAD_BYTES);
        assert_eq!(answer["sha256"].as_str(), digest.split(' ').next());
    }
    holds_little_memory(&pair, before);
    pair.stop().await;
}

/// Every eight bytes say where they stand, so that a piece that is lost or stands elsewhere shows.
fn write_upload(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for offset in (0..UPLOAD_BYTES).step_by(8) {
        file.write_all(&offset.to_le_bytes())?;
    }
    file.flush()
}

fn holds_little_memory(pair: &Pair, before: u64) {
    let most = pair.usher.memory_kib("VmHWM");
    println!("{before} KiB before the first request, {most} KiB at most");
    assert!(most - before < GROWTH_KIB_MAX, "usher had {before} KiB, and {most} KiB at most");
}

/// What the monolith's `/bytes` says: the byte at an offset is the offset modulo 251.
struct Pattern {
    period: Vec<u8>,
    offset: u64,
}

/// A client with little room of its own.
struct Reader {
    socket: TcpStream,
    expected: Option<Pattern>,
    piece: Vec<u8>,
}

// === impl Pattern ===

impl Default for Pattern {
    fn default() -> Self {
        Self { period: (0..251).cycle().take(1 << 20).collect(), offset: 0 }
    }
}

impl Pattern {
    fn check(&mut self, data: &[u8]) {
        let from = (self.offset % 251) as usize;
        assert!(data == &self.period[from..from + data.len()], "at {}", self.offset);
        self.offset += data.len() as u64;
    }
}

// === impl Reader ===

impl Reader {
    async fn open(pair: &Pair) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut socket = socket.connect(pair.usher.0.clients).await.unwrap();
        let request = format!("GET /bytes/{DOWNLOAD_BYTES} HTTP/1.1\r\nHost: a\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        Self { socket, expected: None, piece: vec![0; 16 * 1024] }
    }

    /// Reads a piece; the first begins with the head.
    async fn read(&mut self) {
        let read = timeout(PATIENCE, self.socket.read_exact(&mut self.piece)).await;
        read.expect("it goes on").unwrap();
        let mut data = &self.piece[..];
        let expected = self.expected.get_or_insert_with(|| {
            let head = data.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            data = &data[head + 4..];
            Pattern::default()
        });
        expected.check(data);
    }
}
