//! What a client over HTTP/2 receives, and what becomes of an answer that it does not read.

use std::{future::poll_fn, time::Duration};

use h2::client::Builder;
use http::Response;
use tokio::{io::AsyncReadExt, time::interval};

use crate::{
    raw::{self, Raw},
    started, started_with,
    support::{
        http2::{Http2, asked, get, within},
        origin::{Origin, ok},
        usher::{Usher, listener_tls},
    },
    with_http2,
};

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|asked| match asked.target() {
        "/empty" => b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_vec(),
        "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
    });
    let head = client.ask(asked("HEAD", "/")).await;
    assert_eq!((head.status, head.field("content-length"), head.text()), (200, Some("1000"), ""));
    assert_eq!(client.get("/empty").await.field("x-a"), Some("1"));
    assert_eq!(client.get("/same").await.status, 304);
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 3.0);
}

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client_and_those_that_must_not_do_not() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
          2\r\nok\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\n\r\n"
            .to_vec()
    });
    let answer = client.get("/").await;
    let trailers = answer.trailers.expect("trailers");
    assert_eq!((trailers.len(), trailers["x-sum"].to_str().ok()), (1, Some("7")));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn early_hints_come_ahead_of_the_answer() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|_| {
        [&b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"[..], &ok("page")].concat()
    });
    let mut sent = client.begin(get("/"), true).await;
    let interim = within(poll_fn(|cx| sent.answer.poll_informational(cx))).await;
    let interim: Response<()> = interim.expect("an interim answer").expect("a good one");
    assert_eq!(interim.status(), 103);
    assert_eq!(interim.headers()["link"], "</a.css>");
    assert_eq!(sent.answer().await.text(), "page");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn who_waits_for_100_continue_is_told_once_the_body_is_wanted() {
    let (origin, usher, mut client) = started("").await;
    origin.serve(|asked| ok(std::str::from_utf8(&asked.body).expect("text")));
    let mut request = asked("POST", "/");
    request.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
    let mut sent = client.begin(request, false).await;
    let interim = within(poll_fn(|cx| sent.answer.poll_informational(cx))).await;
    assert_eq!(interim.expect("an interim answer").expect("a good one").status(), 100);
    sent.send(b"hello", true).await;
    assert_eq!(sent.answer().await.text(), "hello");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset_and_not_an_end() {
    let (origin, usher, mut client) = started("").await;
    let sent = client.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    line.reset();
    let error = sent.try_answer().await.expect_err("a broken answer");
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    origin.serve(|_| ok("again"));
    assert_eq!(client.get("/").await.text(), "again", "other streams are unharmed");
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), 1.0);
}

#[tokio::test]
async fn what_came_of_an_answer_before_it_broke_off_reaches_the_client() {
    let (origin, usher, mut client) = started("").await;
    for said in ["Content-Length: 10\r\n\r\nhalf", "Content-Length: 10\r\n\r\n"] {
        let sent = client.begin(get("/"), true).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(format!("HTTP/1.1 200 OK\r\n{said}")).await;
        drop(line);
        let mut response = within(sent.answer).await.expect("a head");
        assert_eq!(response.status(), 200);
        let mut got = Vec::new();
        let error = loop {
            match within(response.body_mut().data()).await.expect("no clean end") {
                Ok(data) => got.extend_from_slice(&data),
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert_eq!(got, said.split("\r\n\r\n").nth(1).expect("a body").as_bytes());
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), 2.0);
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_has_left() {
    let (origin, usher, mut client) = started("").await;
    let mut sent = client.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    sent.body.send_reset(h2::Reason::CANCEL);
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    // Rails cannot be told; its slot is free once it has answered nobody.
    usher.reaches("usher_pool_orphans{pool=\"rails\"}", 1.0).await;
    line.write(ok("")).await;
    usher.reaches("usher_pool_orphans{pool=\"rails\"}", 0.0).await;
    drop((sent, client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"none\"", "\"abandoned\""]), 1.0);
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0);
}

#[tokio::test]
async fn an_answer_is_served_when_it_has_left_and_not_when_it_was_read_from_rails() {
    let (origin, usher, _) = started("").await;
    origin.serve(|_| ok(&"x".repeat(20_000)));
    let mut client =
        Http2::connect_with(usher.address(), Builder::new().initial_window_size(1000)).await;
    let sent = client.begin(get("/"), true).await;
    let mut response = within(sent.answer).await.expect("a head");
    let first = within(response.body_mut().data()).await.expect("a piece").expect("a good one");
    assert_eq!(first.len(), 1000);
    let served = "usher_requests_total{audience=\"everyone\",pool=\"rails\",arm=\"stable\",\
                  status=\"200\",outcome=\"served\"}";
    // Rails has its slot back, and the client has not got its answer.
    usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
    assert_eq!(usher.samples().get(served), 0.0);
    response.body_mut().flow_control().release_capacity(1000).expect("room");
    while let Some(data) = within(response.body_mut().data()).await {
        let bytes = data.expect("a piece").len();
        response.body_mut().flow_control().release_capacity(bytes).expect("room");
    }
    usher.reaches(served, 1.0).await;
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_blocks_no_other_and_ends_after_a_while() {
    let (origin, usher, _) = started_with("limits: { write_wait: 300ms }", "").await;
    origin.serve(|asked| match asked.target() {
        "/large" => ok(&"x".repeat(1_000_000)),
        _ => ok("small"),
    });
    let mut client = Http2::connect_with(
        usher.address(),
        Builder::new().initial_window_size(100_000).initial_connection_window_size(10_000_000),
    )
    .await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let sent = client.begin(get("/large"), true).await;
        unread.push(within(sent.answer).await.expect("a head"));
    }
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "small");
    }
    for response in &mut unread {
        let error = loop {
            match within(response.body_mut().data()).await.expect("no clean end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    }
    drop((unread, client));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_stalled"]), 20.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 20.0);
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_no_slot() {
    let (origin, usher, _) =
        started_with("limits: { buffers: 8MiB }", "    queue: { length: 0 }").await;
    origin.serve(|asked| match asked.target() {
        "/large" => ok(&"x".repeat(1_000_000)),
        _ => ok("small"),
    });
    let mut client = Http2::connect_with(
        usher.address(),
        Builder::new().initial_window_size(100_000).initial_connection_window_size(10_000_000),
    )
    .await;
    let mut unread = Vec::new();
    for number in 1..=7 {
        let sent = client.begin(get("/large"), true).await;
        unread.push(within(sent.answer).await.expect("a head"));
        usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
        let kept = usher.samples().sum("usher_buffer_bytes", &["memory"]);
        assert!(kept > f64::from(number) * 500_000.0, "{kept}");
    }
    assert_eq!(client.get("/").await.text(), "small");
    for response in unread {
        let mut body = response.into_body();
        let mut read = 0;
        while let Some(data) = within(body.data()).await {
            let data = data.expect("all of it comes");
            body.flow_control().release_capacity(data.len()).expect("it was read");
            read += data.len();
        }
        assert_eq!(read, 1_000_000);
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 8.0);
}

#[tokio::test]
async fn a_hundred_streams_over_four_audiences_get_each_its_own_answer() {
    let listener = format!("listeners: [{{ bind: 127.0.0.1:0{} }}]\n", listener_tls());
    let mut text = with_http2(&listener, "")
        + "control: off\nmetrics: off\naccess_log: off\ndrain: { grace: 0s }\naudiences:\n";
    let audiences = ["admin", "driver", "restaurant", "customer"];
    let mut pools = String::from("pools:\n");
    let mut slow = None;
    for audience in audiences {
        let origin = Origin::start().await;
        let rule = format!(", match: [{{ path: /{audience}/** }}]");
        let rule = if audience == "customer" { "" } else { &*rule };
        text += &format!("- {{ name: {audience}, pool: {audience}{rule} }}\n");
        pools += &format!("  {audience}: {{ endpoints: [{}], capacity: 50 }}\n", origin.endpoint());
        if audience == "admin" {
            slow = Some(origin);
        } else {
            origin.serve(move |asked| ok(&format!("{audience} {}", asked.target())));
        }
    }
    let usher = Usher::start(&(text + &pools)).await;
    let mut client = Http2::connect(usher.address()).await;
    let mut sent = Vec::new();
    for n in 0..100 {
        let audience = audiences[n % 4];
        let path = format!("/{audience}/{n}");
        sent.push((audience, path.clone(), client.begin(get(&path), true).await));
    }
    let (slowly, quickly): (Vec<_>, Vec<_>) =
        sent.into_iter().partition(|(audience, ..)| *audience == "admin");
    // Nobody has answered an admin yet.
    for (audience, path, sent) in quickly {
        assert_eq!(sent.answer().await.text(), format!("{audience} {path}"));
    }
    assert_eq!(client.streams_max(), 100);
    slow.expect("admins have a pool").serve(|asked| ok(&format!("admin {}", asked.target())));
    for (audience, path, sent) in slowly {
        assert_eq!(sent.answer().await.text(), format!("{audience} {path}"));
    }
    drop(client);
    let samples = usher.stop().await;
    for audience in audiences {
        let label = format!("audience=\"{audience}\"");
        assert_eq!(samples.sum("usher_requests_total", &[&label, "\"served\""]), 25.0);
    }
}

/// More than the system has room for on its way: what TLS has taken and the socket has not is
/// waited for.
#[tokio::test]
async fn large_answers_reach_a_client_whole_that_reads_slower_than_usher_writes() {
    const STREAMS: u32 = 5;
    const EACH: usize = 5 << 20;
    const BYTES: usize = STREAMS as usize * EACH;
    const PIECE: usize = 256 << 10;
    let (origin, usher, idle) = started("").await;
    drop(idle);
    origin.serve(|_| ok(&"x".repeat(EACH)));
    let mut client = Raw::connect(usher.address()).await;
    // All of it may come at once, for what the frames allow.
    client.frame(raw::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    client.frame(raw::WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0xff, 0xff]).await;
    for number in 0..STREAMS {
        let ends = raw::END_STREAM | raw::END_HEADERS;
        client.frame(raw::HEADERS, ends, 2 * number + 1, raw::GET).await;
    }
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    let mut pace = interval(Duration::from_millis(10));
    for _ in 1..BYTES / PIECE {
        pace.tick().await;
        within(client.stream.read_exact(&mut piece)).await.expect("neither a reset nor an end");
        bytes.extend_from_slice(&piece);
    }
    while raw::data_of(&bytes) < BYTES {
        let read = within(client.stream.read(&mut piece)).await.expect("no reset");
        assert!(read > 0, "cut after {} bytes", bytes.len());
        bytes.extend_from_slice(&piece[..read]);
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 5.0);
}
