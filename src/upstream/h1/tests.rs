//! One connection, and an endpoint that says exactly what it is told.

use std::{collections::VecDeque, future::poll_fn};

use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::*;
use crate::{
    fault::Fault,
    upstream::{trunk::Break, wire::Socket},
};

/// A connection, and the endpoint's side of it.
fn pair() -> (Http1, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    (Http1::new(Stream::Plain(Socket::Unix(ours))), theirs)
}

fn head(lines: &str) -> Parts {
    let mut lines = lines.split("\r\n");
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).expect("a line");
    let fields = lines.filter_map(|line| line.split_once(": "));
    let request = Request::builder().method(method).uri(target);
    let request = fields.fold(request, |request, (name, value)| request.header(name, value));
    request.body(()).expect("a request").into_parts().0
}

/// A body that is here piece by piece.
struct Pieces(VecDeque<Result<Frame<Bytes>, Fault>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Poll::Ready(self.0.pop_front())
    }
}

fn body(pieces: impl IntoIterator<Item = Result<Frame<Bytes>, Fault>>) -> Body {
    Body::new(Pieces(pieces.into_iter().collect()))
}

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, Fault> {
    Ok(Frame::data(bytes.into()))
}

async fn answer(line: &mut Http1) -> Result<Response<()>, Broken> {
    poll_fn(|cx| line.poll_answer(cx, |_, _| {})).await
}

/// What is left of the answer's body, and how many fields come behind it.
async fn rest(line: &mut Http1) -> Result<(Vec<u8>, usize), Broken> {
    let (mut bytes, mut fields) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|cx| line.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => fields = frame.trailers_ref().map_or(0, HeaderMap::len),
        }
    }
    Ok((bytes, fields))
}

/// What becomes of the answer `said` to `request`: its body, and whether the connection may go on.
async fn judged(request: &str, said: &[u8], step: usize) -> Result<(String, bool), String> {
    let (mut line, mut endpoint) = pair();
    line.begin(&head(request), &Lines::default(), Body::empty());
    let saying = async move {
        for piece in said.chunks(step) {
            endpoint.write_all(piece).await.expect("usher reads");
            tokio::task::yield_now().await;
        }
        // The connection stays open for a keen eye on what it is good for.
        endpoint.shutdown().await.expect("usher reads");
        endpoint
    };
    let reading = async {
        answer(&mut line).await?;
        let (bytes, _) = rest(&mut line).await?;
        Ok::<_, Broken>((String::from_utf8_lossy(&bytes).into_owned(), line.is_resting()))
    };
    let (_endpoint, read) = tokio::join!(saying, reading);
    read.map_err(|broken| format!("{:?}", broken.way()))
}

#[tokio::test]
async fn an_answer_ends_where_its_head_says_however_it_was_cut() {
    let malformed = || Err("Some(Malformed)".to_owned());
    let ended = || Err("Some(Ended)".to_owned());
    let whole = |body: &str, goes_on| Ok((body.to_owned(), goes_on));
    let cases = [
        ("GET /", "Content-Length: 2\r\n\r\nok", whole("ok", true)),
        ("GET /", "Content-Length: 0\r\n\r\n", whole("", true)),
        ("GET /", "Content-Length: 2\r\nConnection: close\r\n\r\nok", whole("ok", false)),
        ("GET /", "Content-Length: 3\r\n\r\nok", ended()),
        ("GET /", "X: y\r\n\r\nok", whole("ok", false)),
        ("HEAD /", "Content-Length: 50\r\n\r\n", whole("", true)),
        ("HEAD /", "Transfer-Encoding: chunked\r\n\r\n", whole("", true)),
        ("GET /", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", whole("ok", true)),
        ("GET /", "Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;a\r\nk\r\n0\r\nA: b\r\n\r\n", {
            whole("ok", true)
        }),
        ("GET /", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", ended()),
        ("GET /", "Transfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", malformed()),
        ("GET /", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\n\r\n", malformed()),
        ("GET /", "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok", malformed()),
        ("HEAD /", "Content-Length: 2, 2\r\n\r\n", malformed()),
    ];
    for (request, said, expected) in cases {
        let said = format!("HTTP/1.1 200 OK\r\n{said}");
        for step in [1, 3, 1000] {
            let judged = judged(request, said.as_bytes(), step).await;
            assert_eq!(judged, expected, "{request}: {said:?} by {step}");
        }
    }
    for status in ["204 No Content", "304 Not Modified"] {
        let said = format!("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(judged("GET /", said.as_bytes(), 5).await, whole("", true), "{status}");
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_seen_with_it_or_when_the_connection_is_taken_again() {
    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for behind in ["HTTP/1.1 200 OK\r\n\r\n", "\r\n", "x"] {
        let together = [said, behind.as_bytes()].concat();
        let judged = judged("GET /", &together, 1000).await;
        assert_eq!(judged, Ok(("ok".to_owned(), false)), "{behind:?}");
    }
    for closes in [true, false] {
        let (mut line, mut endpoint) = pair();
        line.begin(&head("GET /"), &Lines::default(), Body::empty());
        endpoint.write_all(said).await.expect("usher reads");
        answer(&mut line).await.expect("an answer");
        assert_eq!(rest(&mut line).await.expect("a body").0, b"ok");
        assert!(line.is_resting() && line.is_quiet());
        match closes {
            true => drop(endpoint),
            false => endpoint.write_all(b"\r\n").await.expect("usher reads"),
        }
        while line.is_quiet() {
            tokio::task::yield_now().await;
        }
        assert!(!line.is_resting());
    }
}

#[tokio::test]
async fn a_request_is_written_as_its_head_says() {
    let long = "x".repeat(5000);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let sized = format!("content-length: {}", 3 + long.len());
    let pieces = || [data("abc"), data(long.clone())];
    let cases = [
        ("GET /a?b\r\nhost: a", Body::empty(), "GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
        (
            &format!("POST /\r\nhost: a\r\n{sized}"),
            body(pieces()),
            format!("POST / HTTP/1.1\r\nhost: a\r\n{sized}\r\n\r\nabc{long}"),
        ),
        (
            "OPTIONS *\r\ntransfer-encoding: chunked",
            body(pieces().into_iter().chain([Ok(Frame::trailers(trailers))])),
            format!(
                "OPTIONS * HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n1388\r\n{long}\r\n0\r\nx-sum: 7\r\n\r\n"
            ),
        ),
    ];
    for (request, body, expected) in cases {
        let (mut line, mut endpoint) = pair();
        line.begin(&head(request), &Lines::default(), body);
        let mut came = vec![0; expected.len()];
        let reading = async {
            endpoint.read_exact(&mut came).await.expect("the request");
            endpoint.write_all(b"HTTP/1.1 204 x\r\n\r\n").await.expect("usher reads");
        };
        let (answered, ()) = tokio::join!(answer(&mut line), reading);
        answered.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&came), expected);
        assert!(line.is_resting(), "{request}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_ends_the_connection() {
    for (length, pieces) in [(4, [data("abc"), Err(Fault::BodyTimeout)]), (9, pieces("abc"))] {
        let (mut line, _endpoint) = pair();
        let request = format!("POST /\r\ncontent-length: {length}");
        line.begin(&head(&request), &Lines::default(), body(pieces));
        let broken = answer(&mut line).await.expect_err("no answer");
        let fault = if length == 4 { Fault::BodyTimeout } else { Fault::BadFraming };
        assert_eq!(broken.upload(), Some(fault));
        assert!(!line.is_resting());
    }
    let (mut line, _endpoint) = pair();
    line.begin(&head("POST /\r\ncontent-length: 2"), &Lines::default(), body(pieces("abc")));
    let broken = answer(&mut line).await.expect_err("no answer");
    assert_eq!(broken.upload(), Some(Fault::BadFraming));
}

fn pieces(text: &'static str) -> [Result<Frame<Bytes>, Fault>; 2] {
    [data(text), data("")]
}

#[tokio::test]
async fn an_early_answer_passes_and_its_connection_is_not_used_again() {
    let (mut line, mut endpoint) = pair();
    let much = (0..1000).map(|_| data(vec![0; 64 * 1024]));
    line.begin(&head("POST /\r\ntransfer-encoding: chunked"), &Lines::default(), body(much));
    let said = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    endpoint.write_all(said).await.expect("usher reads");
    // It closes with much of the request unread: usher cannot write on, and reads all the same.
    drop(endpoint);
    let answer = answer(&mut line).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(rest(&mut line).await.expect("a body").0, b"no");
    assert!(!line.is_resting());
}

#[tokio::test]
async fn a_request_of_which_nothing_has_gone_out_gives_its_body_back() {
    let (mut line, endpoint) = pair();
    drop(endpoint);
    line.begin(&head("POST /\r\ncontent-length: 2"), &Lines::default(), Body::empty());
    let broken = answer(&mut line).await.expect_err("no answer");
    assert_eq!(broken.way(), Some(Break::Ended));
    assert!(!line.has_sent());
    let (mut line, mut endpoint) = pair();
    line.begin(&head("GET /"), &Lines::default(), Body::empty());
    let closing = async {
        let mut came = [0; 64];
        assert!(endpoint.read(&mut came).await.expect("the request") > 0);
        drop(endpoint);
    };
    let (answered, ()) = tokio::join!(answer(&mut line), closing);
    answered.expect_err("no answer");
    assert!(line.has_sent() && line.bytes_read() == 0);
}

#[tokio::test]
async fn behind_a_101_the_stream_goes_on_with_what_has_come() {
    let (mut line, mut endpoint) = pair();
    line.begin(&head("GET /"), &Lines::default(), Body::empty());
    endpoint.write_all(b"HTTP/1.1 101 x\r\n\r\n\x81\x00").await.expect("usher reads");
    assert_eq!(answer(&mut line).await.expect("a 101").status().as_u16(), 101);
    assert!(!line.is_resting());
    let (_stream, said) = line.into_stream();
    assert_eq!(said, b"\x81\x00"[..]);
}
