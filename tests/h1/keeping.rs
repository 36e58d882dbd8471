//! Connections that go on, and how they end.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::{io::AsyncWriteExt, sync::oneshot};
use usher::{
    drain::Stage,
    edge::h1::Rules,
    fault::Fault,
    proxy::{Contact, End},
};

use crate::kit::{answer, channel, serve, serve_by, serve_with, whole};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let mut served = serve().await;
    for path in ["/one", "/two"] {
        served.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let text = served.read_until("ok").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: "), "{text}");
        assert!(!text.contains("connection:"));
    }
    served.send(b"GET /three HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(served.book.lines(), ["GET /one", "GET /two", "GET /three"]);
    assert_eq!(served.book.ends(), [End::Delivered; 3]);
    served.over().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut served = serve().await;
    let mut all = String::new();
    let mut lines = Vec::new();
    for number in 0..50 {
        all += &format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        lines.push(format!("POST /{number}"));
    }
    all += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    lines.push("GET /last".to_owned());
    served.send(&all).await;
    let text = served.read_to_end().await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 51);
    assert_eq!(served.book.lines(), lines);
}

#[tokio::test]
async fn http_1_0_closes_unless_it_asks_otherwise() {
    let mut served = serve().await;
    served.send(b"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let text = served.read_until("ok").await;
    assert!(text.contains("connection: keep-alive\r\n"), "{text}");
    served.send(b"GET /b HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(served.book.lines(), ["GET /a", "GET /b"]);
}

#[tokio::test]
async fn without_a_length_an_answer_is_chunked_or_ends_with_the_connection() {
    let mut served = serve_with(Rules::default(), |_, book| async move {
        Response::new(book.settling(whole("hello")))
    })
    .await;
    served.send(GET).await;
    let text = served.read_until("0\r\n\r\n").await;
    assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{text}");
    served.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.contains("connection: close\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let mut served = serve_with(Rules::default(), |request, book| async move {
        let status = request.uri().path().trim_start_matches('/').parse().unwrap_or(200);
        let mut response = answer(&book, "hello");
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response
    })
    .await;
    served.send(b"HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let text = served.read_until("\r\n\r\n").await;
    assert!(text.contains("content-length: 5\r\n"), "{text}");
    served.send(b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let text = served.read_until("\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 204 No Content") && !text.contains("length"), "{text}");
    served.send(b"GET /304 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.starts_with("HTTP/1.1 304 Not Modified"), "{text}");
    assert!(text.contains("content-length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(served.book.ends(), [End::Delivered; 3]);
}

#[tokio::test]
async fn a_half_closed_client_is_told_of_and_still_answered() {
    let (leave, left) = oneshot::channel::<()>();
    let left = std::sync::Arc::new(parking_lot::Mutex::new(Some(left)));
    let mut served = serve_with(Rules::default(), move |request, book| {
        let left = left.lock().take();
        async move {
            let contact = request.extensions().get::<Contact>().expect("a contact").clone();
            assert!(!contact.presence.as_ref().expect("a presence").half_closed());
            left.expect("one request").await.expect("told");
            contact.gone().await;
            answer(&book, "still")
        }
    })
    .await;
    served.send(GET).await;
    leave.send(()).expect("the service waits");
    served.client.shutdown().await.expect("half closed");
    assert!(served.read_to_end().await.ends_with("still"));
    assert_eq!(served.book.ends(), [End::Delivered]);
    served.over().await;
}

#[tokio::test]
async fn a_reset_drops_the_request() {
    let (told, mut tell) = tokio::sync::mpsc::channel::<&'static str>(4);
    struct Dropped(tokio::sync::mpsc::Sender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.try_send("dropped");
        }
    }
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"] {
        let told = told.clone();
        let mut served = serve_with(Rules::default(), move |_, book| {
            let dropped = Dropped(told.clone());
            async move {
                dropped.0.try_send("called").expect("the test listens");
                std::future::pending::<()>().await;
                answer(&book, "never")
            }
        })
        .await;
        served.send(request).await;
        assert_eq!(tell.recv().await, Some("called"));
        socket2::SockRef::from(&*served.client).set_linger(Some(Duration::ZERO)).expect("set");
        let task = served.task;
        drop(served.client);
        assert_eq!(tell.recv().await, Some("dropped"));
        task.await.expect("no panic");
    }
}

#[tokio::test]
async fn early_hints_go_ahead_of_the_answer_but_not_to_http_1_0() {
    let mut served = serve_with(Rules::default(), |request, book| async move {
        let contact = request.extensions().get::<Contact>().expect("a contact").clone();
        if let Some(informational) = &contact.informational {
            let mut fields = HeaderMap::new();
            fields.insert("link", HeaderValue::from_static("</a.css>"));
            informational.send(StatusCode::EARLY_HINTS, &fields);
        }
        answer(&book, "ok")
    })
    .await;
    served.send(GET).await;
    let text = served.read_until("ok").await;
    assert!(
        text.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{text}"
    );
    served.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(served.read_to_end().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_head_goes_out_before_the_first_event_of_a_stream() {
    let (sender, body) = channel();
    let body = std::sync::Arc::new(parking_lot::Mutex::new(Some(body)));
    let mut served = serve_with(Rules::default(), move |_, book| {
        let body = body.lock().take().expect("one request");
        async move { Response::new(book.settling(body)) }
    })
    .await;
    served.send(GET).await;
    served.read_until("\r\n\r\n").await;
    for event in ["one", "two"] {
        let frame = http_body::Frame::data(bytes::Bytes::from_static(event.as_bytes()));
        sender.try_send(Ok(frame)).expect("the door listens");
        assert_eq!(served.read_until(&format!("{event}\r\n")).await, format!("3\r\n{event}\r\n"));
    }
    sender.try_send(Err(Fault::UpstreamBroke)).expect("the door listens");
    assert_eq!(served.read_to_end().await, "");
    assert_eq!(served.book.ends(), [End::Broken(Fault::UpstreamBroke)]);
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_lets_busy_ones_answer() {
    let mut idle = serve().await;
    idle.send(GET).await;
    idle.read_until("ok").await;
    idle.drainer.advance(Stage::Grace);
    idle.send(GET).await;
    idle.read_until("ok").await;
    idle.drainer.advance(Stage::Finishing);
    assert_eq!(idle.read_to_end().await, "");
    idle.over().await;

    let (go, gone) = oneshot::channel::<()>();
    let gone = std::sync::Arc::new(parking_lot::Mutex::new(Some(gone)));
    let (calls, mut called) = tokio::sync::mpsc::channel(4);
    let mut busy = serve_with(Rules::default(), move |_, book| {
        let gone = gone.lock().take().expect("one request");
        calls.try_send(()).expect("the test listens");
        async move {
            gone.await.expect("told");
            answer(&book, "done")
        }
    })
    .await;
    busy.send(GET).await;
    called.recv().await.expect("called");
    busy.drainer.advance(Stage::Finishing);
    go.send(()).expect("the service waits");
    let text = busy.read_to_end().await;
    assert!(text.contains("connection: close\r\n") && text.ends_with("done"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_at_work_when_the_drain_begins_learns_it_from_its_next_answer() {
    // One between two requests, and one that has asked for nothing yet.
    let (mut busy, mut fresh) = (serve().await, serve().await);
    busy.send(GET).await;
    busy.read_until("ok").await;
    for served in [&mut busy, &mut fresh] {
        served.drainer.advance(Stage::Finishing);
        tokio::task::yield_now().await;
        served.send(GET).await;
        let text = served.read_to_end().await;
        assert!(text.contains("connection: close\r\n") && text.ends_with("ok"), "{text}");
    }
}

#[tokio::test]
async fn cutting_ends_what_is_left() {
    let (calls, mut called) = tokio::sync::mpsc::channel(4);
    let mut served = serve_with(Rules::default(), move |_, book| {
        calls.try_send(()).expect("the test listens");
        async move {
            std::future::pending::<()>().await;
            answer(&book, "never")
        }
    })
    .await;
    served.send(GET).await;
    called.recv().await.expect("called");
    served.drainer.advance(Stage::Finishing);
    served.drainer.advance(Stage::Cutting);
    assert_eq!(served.read_to_end().await, "");
    served.over().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_in_silence_and_a_slow_head_with_408() {
    let rules = Rules { keep_alive: Duration::from_secs(3), ..Rules::default() };
    let mut idle = serve_by(rules.clone()).await;
    assert_eq!(idle.read_to_end().await, "");
    let mut slow = serve_by(rules).await;
    slow.send(b"GET /slow?a HTTP/1.1\r\nHost: h\r\n").await;
    let text = slow.read_to_end().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
    let refusals = slow.book.refusals();
    assert_eq!(refusals[0].path.as_deref(), Some("/slow"));
    assert_eq!(refusals[0].host.as_deref(), Some("h"));
    assert_eq!(slow.book.faults(), [Fault::HeadTimeout]);
}

#[tokio::test]
async fn an_old_connection_takes_no_more_requests() {
    let rules = Rules {
        age: Duration::from_millis(0),
        keep_alive: Duration::from_secs(9),
        ..Rules::default()
    };
    let served = serve_by(rules).await;
    let mut served = served;
    assert_eq!(served.read_to_end().await, "");
}
