//! Several requests and tunnels on one connection when usher stops.

use std::time::Duration;

use h2::{RecvStream, client::Builder, ext::Protocol};
use http::Request;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, interval},
};
use usher::{
    app,
    config::{self, LoadOptions},
};

use crate::{
    raw::{self, Raw},
    started,
    support::{
        gateway::accept,
        http2::{Http2, Sent, asked, get, scheme, within},
        origin::{Line, Origin, ok},
        usher::{Usher, one_pool},
        wire::Wire,
    },
    with_http2,
};

/// A frame of text from a server.
const HELLO: &[u8] = b"\x81\x05hello";

/// What a client is told: 1012, without a mask.
const SERVICE_RESTART: &[u8] = &[0x88, 2, 0x03, 0xf4];

/// What the client answers: the same, with a mask of zeros.
const ANSWERED: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];

#[tokio::test]
async fn all_that_is_open_is_answered_whole_and_what_is_sent_meanwhile_too() {
    const STREAMS: usize = 30;
    let (origin, usher, idle) = started("").await;
    drop(idle);
    // Those that are not read yet do not keep the others from coming.
    let room = 16 * 1024 * 1024;
    let roomy = Builder::new().initial_connection_window_size(room).to_owned();
    let mut client = Http2::connect_with(usher.address(), &roomy).await;
    let mut open = Vec::new();
    for number in 0..STREAMS {
        let mut sent = client.begin(asked("POST", &format!("/{number}")), false).await;
        // Of each other one the body is still to come.
        sent.send(b"half ", false).await;
        if number % 2 == 0 {
            sent.send(b"whole", true).await;
        }
        open.push(sent);
    }
    let mut lines = Vec::new();
    for _ in 0..STREAMS / 2 {
        lines.push(read(&origin).await);
    }
    usher.remote.stop();
    for sent in open.iter_mut().skip(1).step_by(2) {
        sent.send(b"whole", true).await;
    }
    for _ in 0..STREAMS / 2 {
        lines.push(read(&origin).await);
    }
    for (mut line, target) in lines {
        line.write(ok(&target.repeat(5_000))).await;
    }
    for (number, sent) in open.into_iter().enumerate() {
        assert_eq!(sent.answer().await.text(), format!("/{number}").repeat(5_000));
    }
    client.ended().await.expect("a GOAWAY without an error, and an end");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), STREAMS as f64);
    assert_eq!(samples.sum("usher_http2_connections_closed_total", &["\"drained\""]), 1.0);
}

/// A new line with a request, whose body is whole, and its target.
async fn read(origin: &Origin) -> (Line, String) {
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.body, b"half whole");
    let target = asked.target().to_owned();
    (line, target)
}

/// By the time usher has said all, and its client knows that it leaves, most of the answer is still
/// on its way: on a slow line, in which there is room for it. It gives room as it reads.
#[tokio::test]
async fn an_answer_that_is_read_slowly_is_not_lost_with_its_connection() {
    const BYTES: usize = 1_000_000;
    let origin = Origin::start().await;
    let text = with_http2(&one_pool(&[origin.endpoint()], ""), "");
    let usher = Usher::start(&text.replace("requests: 5s", "requests: 60s")).await;
    let mut client = Raw::connect(usher.address()).await;
    // All of it may come at once, for what the frames allow.
    client.frame(raw::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    client.frame(raw::WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0xff, 0xff]).await;
    client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, raw::GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.stop();
    let ping = client.until(raw::PING).await;
    client.frame(raw::PING, raw::ACK, 0, &ping.payload).await;
    client.until(raw::GOAWAY).await;
    let answering = tokio::spawn(async move {
        line.write(ok(&"x".repeat(BYTES))).await;
        line
    });
    let (mut bytes, mut piece) = (Vec::new(), vec![0; BYTES / 30]);
    let mut pace = interval(Duration::from_millis(100));
    loop {
        pace.tick().await;
        let read = within(client.stream.read(&mut piece)).await.expect("no reset");
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..read]);
        client.frame(raw::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]).await;
    }
    assert_eq!(raw::data_of(&bytes), BYTES);
    answering.await.expect("no panic");
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 1.0);
}

/// What a client asks that has been told which request was the last, or could have been, is not
/// looked at, so that it may be asked elsewhere; what was open goes on.
#[tokio::test]
async fn what_is_asked_behind_the_last_request_is_not_looked_at() {
    let (origin, usher, idle) = started("").await;
    drop(idle);
    let mut client = Raw::connect(usher.address()).await;
    client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, raw::GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.stop();
    let ping = client.until(raw::PING).await;
    let answer = raw::frame(raw::PING, raw::ACK, 0, &ping.payload);
    let late = raw::frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 3, raw::GET);
    let later = raw::frame(raw::HEADERS, raw::END_HEADERS, 5, raw::POST);
    let body = raw::frame(raw::DATA, raw::END_STREAM, 5, b"an order");
    client.bytes(&[answer, late, later, body].concat()).await;
    let last = client.until(raw::GOAWAY).await;
    assert_eq!(last.payload, [0, 0, 0, 1, 0, 0, 0, 0], "the others may be asked elsewhere");
    line.write(ok("done")).await;
    let done = client.until(raw::DATA).await;
    assert_eq!((done.stream, &*done.payload), (1, &b"done"[..]));
    assert!(client.read().await.is_none(), "nothing is left to be said");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &[]), 1.0);
}

/// One that has nothing open and does not say that it has heard is not waited for, and is told
/// which request was the last all the same: what it has asked meanwhile, it may ask elsewhere.
#[tokio::test]
async fn a_client_that_does_not_say_that_it_has_heard_is_told_all_the_same() {
    let (origin, usher, idle) = started("").await;
    origin.serve(|_| ok("here"));
    drop(idle);
    let mut client = Raw::connect(usher.address()).await;
    client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, raw::GET).await;
    client.until(raw::DATA).await;
    usher.remote.stop();
    let first = client.until(raw::GOAWAY).await;
    assert_eq!(first.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "any request may still come");
    let last = client.until(raw::GOAWAY).await;
    assert_eq!(last.payload, [0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(client.read().await.is_none(), "nothing is left to be said");
    usher.stop().await;
}

/// They have not shaken hands and said nothing when nothing is accepted any more.
#[tokio::test]
async fn what_the_system_has_queued_when_accepting_ends_is_greeted_and_served() {
    const CLIENTS: usize = 20;
    let origin = Origin::start().await;
    let text = with_http2(&one_pool(&[origin.endpoint()], ""), "");
    origin.serve(|_| ok("served"));
    let parsed = config::parse_text("test.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.expect("it is right");
    let bound = app::build(config, app::Origin::default()).expect("free ports can be bound");
    let address = bound.addresses().listeners[0].socket().expect("TCP");
    let remote = bound.remote();
    // Nobody accepts yet.
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(TcpStream::connect(address).await.expect("the system queues it"));
    }
    remote.stop();
    let thread = std::thread::spawn(move || bound.run());
    for client in clients {
        let mut client = Raw::on(Wire::for_http2(client).await).await;
        client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, raw::GET).await;
        assert_eq!(client.until(raw::DATA).await.payload, b"served");
    }
    thread.join().expect("usher does not panic").expect("usher ends well");
}

/// A tunnel on `client`, with half a frame under way.
async fn tunnel(client: &mut Http2, origin: &Origin) -> (Sent, RecvStream, Line) {
    let wish = Request::builder()
        .method("CONNECT")
        .uri(format!("{}://shop.example/cable", scheme()))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    let mut sent = client.begin(wish.body(()).expect("a request"), false).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(asked.field("sec-websocket-key").expect("a key"))
    );
    line.write(agreed).await;
    let response = within(&mut sent.answer).await.expect("an answer");
    assert_eq!(response.status(), 200);
    line.write(&HELLO[..4]).await;
    (sent, response.into_body(), line)
}

/// Says frames, of which half a one is always under way, until usher closes; when that was.
async fn is_told(mut sent: Sent, mut heard: RecvStream, mut line: Line) -> Instant {
    let mut bytes = Vec::new();
    while !bytes.ends_with(SERVICE_RESTART) {
        if bytes.len() % HELLO.len() == 4 {
            line.try_write(&[&HELLO[4..], &HELLO[..4]].concat()).await;
        }
        let data = within(heard.data()).await.expect("more").expect("a good piece");
        let _ = heard.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let told = Instant::now();
    assert_eq!((bytes.len() - SERVICE_RESTART.len()) % HELLO.len(), 0, "between two frames");
    sent.send(ANSWERED, false).await;
    while let Some(data) = within(heard.data()).await {
        assert!(data.expect("an end in order").is_empty());
    }
    told
}

/// Requests have less time than tunnels here: those that are left are cut on the connection on
/// which tunnels wait for their turn.
#[tokio::test]
async fn tunnels_of_one_connection_close_one_after_the_other_whatever_becomes_of_requests() {
    const TUNNELS: usize = 12;
    let origin = Origin::start().await;
    let text = with_http2(&one_pool(&[origin.endpoint()], ""), "");
    let text = text.replace("requests: 5s, tunnels: 5s", "requests: 300ms, tunnels: 9s");
    let usher = Usher::start(&text).await;
    let mut client = Http2::connect(usher.address()).await;
    let first = client.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    drop(line);
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        tunnels.push(tunnel(&mut client, &origin).await);
    }
    let (answered, cut) =
        (client.begin(get("/one"), true).await, client.begin(get("/two"), true).await);
    let mut lines = [origin.accept().await, origin.accept().await];
    let mut of_answered = None;
    for (at, line) in lines.iter_mut().enumerate() {
        if line.read().await.target() == "/one" {
            of_answered = Some(at);
        }
    }
    usher.remote.stop();
    lines[of_answered.expect("both are asked")].write(ok("one")).await;
    assert_eq!(answered.answer().await.text(), "one");
    let telling: Vec<_> = tunnels
        .into_iter()
        .map(|(sent, heard, line)| tokio::spawn(is_told(sent, heard, line)))
        .collect();
    cut.try_answer().await.expect_err("its time is over");
    let mut told = Vec::new();
    for telling in telling {
        told.push(telling.await.expect("it is told"));
    }
    told.sort();
    let span = told[TUNNELS - 1] - told[0];
    assert!(span > Duration::from_secs(1), "all {TUNNELS} within {span:?}");
    client.ended().await.expect("a GOAWAY without an error, and an end");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["drained"]), TUNNELS as f64);
    assert_eq!(samples.sum("usher_faults_total", &["draining"]), 1.0);
}
