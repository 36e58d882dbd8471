//! Bodies, both ways.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use parking_lot::Mutex;
use tokio::{io::AsyncWriteExt, sync::oneshot};
use usher::{
    edge::h1::Rules,
    fault::Fault,
    proxy::{End, upgrade::Tunnel},
};

use crate::kit::{answer, next_data, refusal, scripted, serve, serve_by, serve_with};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn data(text: &'static str) -> Result<Frame<Bytes>, Fault> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn a_request_reads_the_same_however_it_is_cut() {
    let whole = "POST /x?y HTTP/1.1\r\nHost: a\r\nX-A: b\r\nTransfer-Encoding: Chunked\r\n\r\n\
                 5;x=\"y\"\r\nhello\r\n1\r\n!\r\n0\r\nChecksum: 1\r\nHost: evil\r\n\r\n";
    for cut in 1..whole.len() {
        let mut served = serve().await;
        served.send(&whole[..cut]).await;
        tokio::task::yield_now().await;
        served.send(&whole[cut..]).await;
        served.read_until("ok").await;
        let seen = served.book.requests().remove(0);
        assert_eq!(seen.line, "POST /x?y");
        assert_eq!(seen.headers.len(), 2, "{:?}", seen.headers);
        assert_eq!(seen.body, Ok(b"hello!".to_vec()));
        let trailers = seen.trailers.expect("trailers");
        assert_eq!((trailers.len(), &trailers["checksum"]), (1, &HeaderValue::from_static("1")));
    }
}

#[tokio::test]
async fn a_request_in_single_bytes_is_read_as_well() {
    let mut served = serve().await;
    served.dribble("\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello").await;
    served.read_until("ok").await;
    let seen = served.book.requests().remove(0);
    assert_eq!(seen.body, Ok(b"hello".to_vec()));
    assert_eq!(seen.headers[header::CONTENT_LENGTH], "5");
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    const SIZE: usize = 3_000_000;
    let mut served = serve_with(Rules::default(), |request, book| async move {
        book.note(request).await.expect("a whole body");
        let frames = (0..30).map(|_| Ok(Frame::data(Bytes::from(vec![b'd'; SIZE / 30]))));
        Response::new(book.settling(scripted(frames)))
    })
    .await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    served.send(head).await;
    served.send(vec![b'u'; SIZE]).await;
    let text = served.read_last("0\r\n\r\n").await;
    assert!(text.matches('d').count() >= SIZE);
    let seen = served.book.requests().remove(0);
    assert_eq!(seen.body.map(|body| body.len()), Ok(SIZE));
}

#[tokio::test]
async fn one_hundred_continue_is_said_once_and_only_when_the_body_is_asked_for() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n";
    let mut served = serve().await;
    served.send(head).await;
    assert_eq!(served.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    served.dribble("body").await;
    assert!(served.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(!served.book.requests()[0].headers.contains_key(header::EXPECT));

    served.send(format!("{head}body")).await;
    assert!(served.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));

    let mut refused =
        serve_with(Rules::default(), |_, book| async move { refusal(&book, Fault::NotAdmitted) })
            .await;
    refused.send(head).await;
    let text = refused.read_to_end().await;
    assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");
}

#[tokio::test]
async fn a_small_body_that_nobody_read_is_drained_and_a_large_one_closes() {
    let mut served =
        serve_with(Rules::default(), |_, book| async move { answer(&book, "early") }).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len());
    served.send(&head).await;
    let text = served.read_until("early").await;
    assert!(!text.contains("connection"), "{text}");
    served.send(smuggled).await;
    served.send(format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n")).await;
    served.read_until("early").await;
    served.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(served.book.ends(), [End::Delivered; 3]);
}

#[tokio::test]
async fn a_body_that_breaks_its_framing_is_a_fault_and_closes() {
    for (rest, fault) in [
        ("5\r\nhello!!\r\n", Fault::BadChunk),
        ("5\nhello\n", Fault::BadChunk),
        ("0\r\nX:POST / HTTP/1.1\n\r\n", Fault::BadChunk),
        ("fffffffff\r\n", Fault::BadChunk),
    ] {
        let mut served = serve_by(Rules { body_bytes: 100, ..Rules::default() }).await;
        served.send(format!("{CHUNKED}{rest}GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let text = served.read_to_end().await;
        if rest.starts_with("fff") {
            assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
        } else {
            assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
            assert_eq!(served.book.requests()[0].body, Err(fault));
        }
        assert!(text.contains("connection: close\r\n"), "{text}");
        assert_eq!(served.book.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused_declared_or_discovered() {
    let rules = Rules { body_bytes: 4, ..Rules::default() };
    let mut declared = serve_by(rules.clone()).await;
    declared.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(declared.read_to_end().await.starts_with("HTTP/1.1 413 "));
    assert_eq!(declared.book.faults(), [Fault::BodyTooLarge]);
    assert_eq!(declared.book.refusals()[0].path.as_deref(), Some("/p"));
    let mut discovered = serve_by(rules).await;
    discovered.send(format!("{CHUNKED}3\r\nabc\r\n2\r\nde\r\n")).await;
    assert!(discovered.read_to_end().await.starts_with("HTTP/1.1 413 "));
    assert_eq!(discovered.book.requests()[0].body, Err(Fault::BodyTooLarge));
}

#[tokio::test]
async fn a_client_that_ends_in_the_middle_of_its_body_has_left() {
    for text in [
        format!("{CHUNKED}0\r\n"),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab".into(),
    ] {
        let mut served = serve().await;
        served.send(text).await;
        served.client.shutdown().await.expect("half closed");
        assert_eq!(served.read_to_end().await, "");
        assert_eq!(served.book.requests()[0].body, Err(Fault::ClientLeft));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_a_fault() {
    let mut served = serve().await;
    served.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let text = served.read_to_end().await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(served.book.requests()[0].body, Err(Fault::BodyTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let mut served = serve_with(Rules::default(), |_, book| async move {
        let frames = (0..200).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 100_000]))));
        Response::new(book.settling(scripted(frames)))
    })
    .await;
    served.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    served.over().await;
    assert_eq!(served.book.ends(), [End::Broken(Fault::ClientStalled)]);
    assert!(served.read_to_close().await.1, "reset");
}

#[tokio::test]
async fn an_answer_that_breaks_its_length_never_ends_cleanly() {
    for (frames, text, fault) in [
        (vec![data("hello"), data("!!")], "hello", Fault::UpstreamMalformed),
        (vec![data("hel")], "hel", Fault::UpstreamBroke),
        (vec![data("he"), Err(Fault::UpstreamBroke)], "he", Fault::UpstreamBroke),
    ] {
        let frames = Arc::new(Mutex::new(Some(frames)));
        let mut served = serve_with(Rules::default(), move |_, book| {
            let frames = frames.lock().take().expect("one request");
            async move {
                let mut response = Response::new(book.settling(scripted(frames)));
                response.headers_mut().insert(header::CONTENT_LENGTH, 5.into());
                response
            }
        })
        .await;
        served.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let read = served.read_to_end().await;
        assert!(read.ends_with(&format!("\r\n\r\n{text}")), "{read}");
        assert_eq!(served.book.ends(), [End::Broken(fault)]);
    }
}

#[tokio::test]
async fn an_answer_cut_for_http_1_0_ends_with_a_reset() {
    let mut served = serve_with(Rules::default(), |_, book| async move {
        let frames = [data("he"), Err(Fault::UpstreamBroke)];
        Response::new(book.settling(scripted(frames)))
    })
    .await;
    served.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(served.read_to_close().await.1, "reset");
}

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client() {
    let mut served = serve_with(Rules::default(), |_, book| async move {
        let mut fields = HeaderMap::new();
        fields.insert("checksum", HeaderValue::from_static("1"));
        fields.insert("content-length", HeaderValue::from_static("1"));
        Response::new(book.settling(scripted([data("hi"), Ok(Frame::trailers(fields))])))
    })
    .await;
    served.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let text = served.read_until("checksum: 1\r\n\r\n").await;
    assert!(text.ends_with("\r\n\r\n2\r\nhi\r\n0\r\nchecksum: 1\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn a_body_read_by_another_task_is_read_and_its_end_is_noticed() {
    let mut served = serve_with(Rules::default(), |request, book| async move {
        let mut body = request.into_body();
        let (done, all) = oneshot::channel();
        tokio::spawn(async move {
            let mut size = 0;
            while let Some(Ok(data)) = next_data(&mut body).await {
                size += data.len();
            }
            done.send(size).expect("the service waits");
        });
        let size = all.await.expect("read");
        answer(&book, if size == 6 { "six" } else { "other" })
    })
    .await;
    for _ in 0..2 {
        served.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n").await;
        served.dribble("hello!").await;
        served.read_until("six").await;
    }
}

#[tokio::test]
async fn a_body_kept_beyond_its_answer_gets_nothing_of_the_next_request() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let mut served = serve_with(Rules::default(), move |request, book| {
        keep.lock().push(request.into_body());
        async move { answer(&book, "ok") }
    })
    .await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    served.send(post).await;
    served.read_until("ok").await;
    served.send(post).await;
    served.read_until("ok").await;
    let mut first = kept.lock().remove(0);
    assert_eq!(next_data(&mut first).await, Some(Err(Fault::ClientLeft)));
}

#[tokio::test]
async fn an_upgrade_that_is_agreed_to_hands_the_connection_over() {
    let mut served = serve_with(Rules::default(), |request, book| async move {
        assert!(request.headers().contains_key(header::UPGRADE));
        let mut response = Response::new(book.settling(scripted([])));
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.extensions_mut().insert(Tunnel::default());
        response
    })
    .await;
    served
        .send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly",
        )
        .await;
    let (text, _) = served.read_to_close().await;
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
    assert!(text.contains("connection: upgrade\r\nupgrade: websocket\r\n"), "{text}");
    assert_eq!(served.book.ends(), [End::Delivered]);
}

#[tokio::test]
async fn early_bytes_behind_an_upgrade_that_is_not_agreed_to_are_thrown_away() {
    let mut served = serve().await;
    served
        .send(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
              GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    let text = served.read_to_end().await;
    assert!(text.contains("connection: close\r\n"), "{text}");
    assert_eq!(served.book.lines(), ["GET /ws"]);
}

#[tokio::test(start_paused = true)]
async fn a_dribbled_body_ends_at_its_lowest_rate() {
    let mut served = serve().await;
    served.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let began = tokio::time::Instant::now();
    while served.book.requests().is_empty() {
        // A second, in steps of less than what a worker takes for a time in which it stood still.
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(50)).await;
            // Each of the tasks that a deadline goes through gets its turn.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        let _ = served.client.write_all(b"x").await;
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(served.book.requests()[0].body, Err(Fault::BodyTimeout));
}
