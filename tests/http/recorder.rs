//! An origin that reads with the strict reader, writes down all that it gets, and answers.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::strict::{self, Problem, Request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What has come since it was last asked.
#[derive(Debug, Default)]
pub struct Record {
    pub requests: Vec<Request>,
    /// All bytes, those of requests that were not whole included.
    pub bytes: usize,
    /// What the strict reader would not take.
    pub problems: Vec<Problem>,
}

pub struct Recorder {
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

// === impl Recorder ===

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let record = Arc::new(Mutex::new(Record::default()));
        let shared = record.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, record }
    }

    /// What has come since the last call.
    pub fn take(&self) -> Record {
        std::mem::take(&mut *self.record.lock())
    }
}

// === impl Record ===

impl Record {
    /// Takes the next request off `buffer`; the answer is whether there was one.
    fn next(&mut self, buffer: &mut Vec<u8>) -> Result<bool, ()> {
        match strict::read(buffer) {
            Ok(Some((request, length))) => {
                self.requests.push(request);
                buffer.drain(..length);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(problem) => {
                self.problems.push(problem);
                Err(())
            }
        }
    }
}

async fn serve(mut stream: TcpStream, record: Arc<Mutex<Record>>) {
    let mut buffer = Vec::new();
    while let Ok(read @ 1..) = stream.read_buf(&mut buffer).await {
        record.lock().bytes += read;
        loop {
            let next = record.lock().next(&mut buffer);
            match next {
                Ok(true) if stream.write_all(OK).await.is_ok() => {}
                Ok(false) => break,
                Ok(true) | Err(()) => return,
            }
        }
    }
}
