//! A client that speaks frames, good and bad.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf},
    net::TcpSocket,
};

use crate::support::{http2::within, wire::Wire};

/// GET http://a/ in static and literal fields of HPACK, without any state but the authority, which
/// enters the table.
pub const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

/// The same, which enters nothing.
pub const PLAIN_GET: &[u8] = b"\x82\x86\x84\x01\x01a";

/// POST http://a/
pub const POST: &[u8] = b"\x83\x86\x84\x41\x01a";

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// A connection to usher.
pub struct Raw {
    pub stream: Wire,
    goaway: Option<Frame>,
}

/// A frame from usher.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

// === impl Raw ===

impl Raw {
    /// A connection that has said its preface and its settings, which are none.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::without_preface(address).await.begun().await
    }

    /// The same, on a connection that carries HTTP/2.
    pub async fn on(stream: Wire) -> Self {
        Self { stream, goaway: None }.begun().await
    }

    /// The same, from another address of this machine.
    pub async fn connect_from(client: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((client, 0).into()).expect("an address of this machine");
        let socket = socket.connect(address).await.expect("usher accepts");
        Self::on(Wire::for_http2(socket).await).await
    }

    /// A connection that has said nothing.
    pub async fn without_preface(address: SocketAddr) -> Self {
        let stream = Wire::connect_http2(address).await;
        Self { stream, goaway: None }
    }

    async fn begun(mut self) -> Self {
        self.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        self.frame(SETTINGS, 0, 0, b"").await;
        self
    }

    /// Sends bytes as they are; `false` when usher has closed.
    pub async fn bytes(&mut self, bytes: &[u8]) -> bool {
        send(&mut self.stream, bytes).await
    }

    /// Sends a frame; `false` when usher has closed.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.bytes(&frame(kind, flags, stream, payload)).await
    }

    /// The next frame, or `None` when usher has closed.
    pub async fn read(&mut self) -> Option<Frame> {
        read(&mut self.stream).await
    }

    /// The next frame of this kind.
    pub async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await.expect("usher goes on");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The next frame of this kind, or `None` when usher has closed.
    pub async fn until_or_end(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.read().await {
                // A GOAWAY is the beginning of the end, and is left to be looked at.
                Some(frame) if frame.kind == kind => return Some(frame),
                Some(frame) if frame.kind == GOAWAY => {
                    self.goaway = Some(frame);
                    return None;
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Sees that usher goes on: it answers a ping that is like no other.
    pub async fn is_served(&mut self) {
        self.frame(PING, 0, 0, b"go on ?!").await;
        while self.until(PING).await.payload != b"go on ?!" {}
    }

    /// Reads until usher has closed; the code of its GOAWAY, if it sent one.
    pub async fn ended(&mut self) -> Option<u32> {
        let mut last = self.goaway.take();
        while let Some(frame) = self.read().await {
            if frame.kind == GOAWAY {
                last = Some(frame);
            }
        }
        last.map(|frame| frame.code())
    }

    /// The same, with only the reading side of the connection.
    pub async fn ended_of(mut stream: ReadHalf<Wire>) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = read(&mut stream).await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

// === impl Frame ===

impl Frame {
    /// The code of a GOAWAY.
    fn code(&self) -> u32 {
        u32::from_be_bytes(self.payload[4..8].try_into().expect("four bytes"))
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut header = [0; 9];
    within(stream.read_exact(&mut header)).await.ok()?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    within(stream.read_exact(&mut payload)).await.ok()?;
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    Some(Frame { kind: header[3], stream, payload })
}

/// Sends bytes, all of them: those that wait within TLS included. `false` when usher has closed.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    within(sent).await.is_ok()
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// How many bytes of bodies there are in whole frames.
pub fn data_of(mut frames: &[u8]) -> usize {
    let mut bytes = 0;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        bytes += if *kind == DATA { length.min(rest.len()) } else { 0 };
        frames = rest.get(length..).unwrap_or_default();
    }
    bytes
}
