//! A real browser: headless Chromium fetches a page over TLS, speaks HTTP/2, and opens a WebSocket.
//!
//! The page tells the origin what the browser has seen, by a request of its own.
//!
//! Transport: TLS, with what a browser agrees on inside.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use tokio::sync::mpsc;

mod support;

use support::{
    authority::Authority,
    origin::{Asked, Line, Origin, PATIENCE, ok},
    usher::Usher,
};

/// What the page does, and tells.
const PAGE: &str = "<!doctype html><title>shop</title><script>
  const told = { protocol: performance.getEntriesByType('navigation')[0].nextHopProtocol };
  const tell = () => fetch('/told', { method: 'POST', body: JSON.stringify(told) });
  const socket = new WebSocket('wss://' + location.host + '/cable');
  socket.onopen = () => socket.send('ahoy');
  socket.onmessage = (event) => { told.echo = event.data; tell(); };
  socket.onerror = () => { told.echo = 'an error'; tell(); };
</script>";

/// A browser. Dropping it kills it and all its processes.
struct Chromium(Child);

impl Chromium {
    /// Opens `url`, with its own things in `directory`.
    fn open(url: &str, directory: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-extensions"])
            // Nobody but this test knows the root of its certificate.
            .arg("--ignore-certificate-errors")
            // Or it ends as soon as the page is there.
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", directory.display()))
            .arg(url)
            .env("HOME", directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("tests/run has installed it");
        Self(child)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(group.expect("a process id is positive"), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Answers on one connection: the page, the echo of a WebSocket, and what the page tells.
async fn answer(mut line: Line, told: mpsc::Sender<String>) {
    while let Some(asked) = line.try_read().await {
        match asked.target() {
            "/" => line.write(page()).await,
            "/cable" => return echo(line, &asked).await,
            "/told" => {
                let _ = told.send(String::from_utf8_lossy(&asked.body).into_owned()).await;
                line.write(ok("")).await;
            }
            _ => line.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await,
        }
    }
}

fn page() -> String {
    let length = PAGE.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{PAGE}")
}

/// Says what it hears, once: a short text, as RFC 6455 §5.2 writes it.
async fn echo(mut line: Line, asked: &Asked) {
    let key = asked.field("sec-websocket-key").expect("a key");
    let accept = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    line.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(accept)
    ))
    .await;
    let head = line.read_exactly(2).await.expect("a frame");
    let length = usize::from(head[1] & 0x7f);
    let masked = line.read_exactly(4 + length).await.expect("a whole frame");
    let (mask, text) = masked.split_at(4);
    let text = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let frame: Vec<u8> = [0x81, head[1] & 0x7f].into_iter().chain(text).collect();
    line.write(frame).await;
    let _ = line.read_exactly(1).await;
}

#[tokio::test]
async fn chromium_shows_a_page_over_http2_and_its_websocket_is_heard() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    root.issue(&["localhost"]).write(directory.path(), "shop");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0, \
           tls: {{ certificates: [{{ cert: shop.crt, key: shop.key }}] }} }}]\n\
         control: off\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint()
    );
    let path = directory.path().join("usher.yaml");
    std::fs::write(&path, text).expect("it can be written");
    let usher = Usher::start_at(&path).await;
    let (tell, mut told) = mpsc::channel(16);
    let origin = Arc::new(origin);
    let serving = tokio::spawn(async move {
        loop {
            tokio::spawn(answer(origin.accept_for_ever().await, tell.clone()));
        }
    });
    let url = format!("https://localhost:{}/", usher.address().port());
    let browser = Chromium::open(&url, directory.path());
    // It takes some seconds to start where it never ran.
    let heard = tokio::time::timeout(3 * PATIENCE, told.recv()).await.expect("it tells in time");
    let heard = heard.expect("somebody tells");
    assert_eq!(heard, r#"{"protocol":"h2","echo":"ahoy"}"#);
    let samples = usher.samples();
    assert_eq!(samples.get(r#"usher_tunnels{audience="everyone"}"#), 1.0);
    drop(browser);
    usher.stop().await;
    serving.abort();
}
