//! Another binary takes over while connections over HTTP/2 are open, each with several requests.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use h2::client::Builder;
use http::{Request, Response};
use rustix::process::Signal;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    kit::{gone, ports_with_http2, stopped},
    load::{Crowd, Load, ask},
    support::{
        binary::Binary,
        gateway::accept,
        http2::{Http2, Sent, asked, get, scheme, within},
        origin::{Line, Origin, ok},
        usher::Samples,
    },
};

/// A frame of text from a server.
const HELLO: &[u8] = b"\x81\x05hello";

/// What a client is told: 1012, without a mask.
const SERVICE_RESTART: &[u8] = &[0x88, 2, 0x03, 0xf4];

/// What the client answers: the same, with a mask of zeros.
const ANSWERED: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];

/// How long the answer to `/slow` is.
const SLOW_BYTES: usize = 300_000;

/// A monolith that answers when it is told: `/orders` at once, `/slow` with a half of its answer at
/// once and the other at stage 2, everything else at stage 1.
struct Held {
    address: SocketAddr,
    stage: watch::Sender<u8>,
    waiting: Arc<AtomicU64>,
    tunnels: mpsc::Receiver<Line>,
}

// === impl Held ===

impl Held {
    async fn start() -> Self {
        let origin = Origin::start().await;
        let (address, waiting) = (origin.address(), Arc::new(AtomicU64::new(0)));
        let (stage, staged) = watch::channel(0);
        let (opened, tunnels) = mpsc::channel(16);
        let counted = waiting.clone();
        tokio::spawn(async move {
            while let Some(line) = origin.try_accept().await {
                tokio::spawn(serve(line, staged.clone(), counted.clone(), opened.clone()));
            }
        });
        Self { address, stage, waiting, tunnels }
    }

    /// Waits until so many requests are waiting.
    async fn has(&self, waiting: u64) {
        let reached = async {
            while self.waiting.load(Ordering::Relaxed) != waiting {
                tokio::task::yield_now().await;
            }
        };
        within(reached).await;
    }

    /// A WebSocket that is open, with half a frame under way from here.
    async fn tunnel(&mut self, client: &mut Http2) -> (Sent, Response<h2::RecvStream>, Line) {
        let wish = Request::builder()
            .method("CONNECT")
            .uri(format!("{}://shop.example/cable", scheme()))
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        let mut sent = client.begin(wish.body(()).expect("a request"), false).await;
        let mut line = within(self.tunnels.recv()).await.expect("a handshake");
        let response = within(&mut sent.answer).await.expect("an answer");
        assert_eq!(response.status(), 200);
        line.write(&HELLO[..4]).await;
        (sent, response, line)
    }
}

async fn serve(
    mut line: Line,
    mut stage: watch::Receiver<u8>,
    waiting: Arc<AtomicU64>,
    tunnels: mpsc::Sender<Line>,
) {
    while let Some(asked) = line.try_read().await {
        if let Some(key) = asked.field("sec-websocket-key") {
            let agreed = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                accept(key)
            );
            line.write(agreed).await;
            let _ = tunnels.send(line).await;
            return;
        }
        let mut answer = ok(&format!("{} {}", asked.target(), asked.body.len()));
        let until = match asked.target() {
            "/orders" => 0,
            "/slow" => {
                let half = "s".repeat(SLOW_BYTES / 2);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SLOW_BYTES}\r\n\r\n");
                line.try_write((head + &half).as_bytes()).await;
                answer = half.into_bytes();
                2
            }
            _ => 1,
        };
        waiting.fetch_add(1, Ordering::Relaxed);
        // The test ends what it has begun.
        let _ = stage.wait_for(|stage| *stage >= until).await;
        waiting.fetch_sub(1, Ordering::Relaxed);
        line.try_write(&answer).await;
    }
}

fn config(endpoint: SocketAddr) -> String {
    format!(
        "{}access_log: off\nworkers: 2\n\
         drain: {{ grace: 20s, requests: 60s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [\"{endpoint}\"], capacity: 50, \
                             timeouts: {{ first_byte: 60s }} }} }}\n",
        ports_with_http2()
    )
}

/// usher, and a client that has learnt what usher can do.
async fn started(shop: &Held) -> (Binary, Http2) {
    let usher = Binary::start_whole(&config(shop.address)).await;
    // An answer that is not read yet does not keep the others from coming.
    let roomy = Builder::new().initial_connection_window_size(1024 * 1024).to_owned();
    let mut client = Http2::connect_with(usher.clients, &roomy).await;
    assert_eq!(client.get("/orders").await.text(), "/orders 0");
    assert!(client.knows_extended_connect());
    (usher, client)
}

fn served(samples: &Samples) -> f64 {
    samples.sum("usher_requests_total", &["served"])
}

#[tokio::test]
async fn what_is_open_on_one_connection_is_finished_by_the_process_that_began_it() {
    let mut shop = Held::start().await;
    let (mut usher, mut client) = started(&shop).await;
    let mut open = Vec::new();
    for number in 0..5 {
        open.push(client.begin(get(&format!("/{number}")), true).await);
    }
    let slow = client.begin(get("/slow"), true).await;
    let mut upload = client.begin(asked("POST", "/upload"), false).await;
    upload.send(b"half ", false).await;
    let (mut tunnel, response, mut cable) = shop.tunnel(&mut client).await;
    let mut heard = response.into_body();
    shop.has(6).await;

    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(ask(usher.clients).await.status, 200, "and nobody waits for what is open");
    // It is told to ask elsewhere what it has not asked yet.
    while let Ok(asked) = client.try_begin(get("/orders")).await {
        assert_eq!(asked.answer().await.status, 200);
    }
    upload.send(b"whole", true).await;
    shop.has(7).await;
    shop.stage.send_replace(1);
    for (number, open) in open.into_iter().enumerate() {
        assert_eq!(open.answer().await.text(), format!("/{number} 0"));
    }
    assert_eq!(upload.answer().await.text(), "/upload 10");
    // Half a frame is always under way, so that no close may ever come but behind its rest.
    let mut bytes = Vec::new();
    while !bytes.ends_with(SERVICE_RESTART) {
        if bytes.len() % HELLO.len() == 4 {
            cable.try_write(&[&HELLO[4..], &HELLO[..4]].concat()).await;
        }
        let data = within(heard.data()).await.expect("more").expect("a good piece");
        let _ = heard.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let frames = &bytes[..bytes.len() - SERVICE_RESTART.len()];
    assert_eq!(frames.len() % HELLO.len(), 0, "{}", bytes.escape_ascii());
    tunnel.send(ANSWERED, false).await;
    while let Some(data) = within(heard.data()).await {
        assert!(data.expect("an end in order").is_empty());
    }
    drop((tunnel, cable));
    shop.stage.send_replace(2);
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, SLOW_BYTES));
    client.ended().await.expect("a GOAWAY without an error, and an end");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());

    let samples = usher.when("all are counted", |samples| served(samples) >= 10.0).await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["abandoned"]), 0.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["drained"]), 1.0);
    assert!(samples.sum("usher_http2_connections_closed_total", &["\"drained\""]) >= 1.0);
    stopped(heir).await;
}

#[tokio::test]
async fn clients_with_many_requests_at_once_lose_none_by_one_upgrade_after_the_other() {
    let shop = Held::start().await;
    let usher = Binary::start_whole(&config(shop.address)).await;
    let crowd = Crowd { kept: 0, fresh: 0, many: 4 };
    let mut load = Load::begin(usher.clients, crowd, &Handle::current());
    load.goes_on(50).await;
    let mut heir = usher.pid();
    for round in 0..3 {
        let before = heir;
        heir = usher.upgrade().expect("the same binary serves");
        load.goes_on(50).await;
        if round > 0 {
            gone(before).await;
        }
    }
    let (answers, _) = load.end().await;
    let all = |samples: &Samples| served(samples) >= answers as f64;
    let samples = usher.when("all are counted", all).await;
    assert_eq!(served(&samples), answers as f64);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    stopped(heir).await;
}

/// The process that has handed over drains already: told to stop it goes on with that, and told so
/// again it ends.
#[tokio::test]
async fn a_second_signal_cuts_what_the_old_process_still_has_and_nothing_of_the_new_one() {
    let shop = Held::start().await;
    let (mut usher, mut client) = started(&shop).await;
    let (first, slow) =
        (client.begin(get("/first"), true).await, client.begin(get("/slow"), true).await);
    shop.has(2).await;
    let heir = usher.upgrade().expect("the same binary serves");
    let (mut younger, next) = loop {
        let mut client = Http2::connect(usher.clients).await;
        let Ok(asked) = client.try_begin(get("/orders")).await else { continue };
        // Whoever leaves says so ahead of its first answer.
        let answered = asked.try_answer().await.is_ok();
        match client.try_begin(get("/next")).await {
            Ok(next) if answered => break (client, next),
            _ => {}
        }
    };
    shop.has(3).await;
    usher.signal(Signal::TERM);
    shop.stage.send_replace(1);
    assert_eq!(first.answer().await.text(), "/first 0");
    assert_eq!(next.answer().await.text(), "/next 0");
    // Another one: two of the same that come at once are one.
    usher.signal(Signal::INT);
    slow.try_answer().await.expect_err("it is cut");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(younger.get("/orders").await.text(), "/orders 0");
    let cut = |samples: &Samples| samples.sum("usher_faults_total", &["draining"]) == 1.0;
    usher.when("the cut one is counted", cut).await;
    drop(younger);
    stopped(heir).await;
}
