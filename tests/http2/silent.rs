//! A client with open requests that is not heard of any more.
//!
//! Transport: HTTP/2 in plain text, at the door itself and not a whole usher, whose clock no test
//! turns; what carries the frames makes no difference to who waits for them.

#![expect(clippy::disallowed_methods, reason = "a test that hangs must end")]

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};
use usher::{
    deadline::Wheel,
    drain,
    edge::{
        Load, Stream,
        h1::Rules,
        h2::{self, Farewell},
    },
    meters::Http2End,
    peer::Peer,
    proxy::{Arrival, Settling},
};

use crate::raw::{ACK, END_HEADERS, END_STREAM, GET, HEADERS, PING, SETTINGS, frame};

/// What comes of a client that answers so many pings and no more: how long it lasted, and how often
/// it was asked.
async fn outlasts(answered: usize) -> (Farewell, Duration, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let local = listener.local_addr().expect("an address");
    let (client, accepted) = tokio::join!(TcpStream::connect(local), listener.accept());
    let (mut client, (socket, from)) = (client.expect("it connects"), accepted.expect("accepts"));
    let (address, listener) = (Some(from), local.into());
    let peer = Peer { address, local: Some(local), listener, trusted: false, tls: None };
    let (_drainer, drain) = drain::channel();
    let (call, mut called) = mpsc::channel(1);
    let service = tower::service_fn(move |arrival: Arrival| {
        call.try_send(()).expect("there is one request");
        async move {
            // It is worked on for ever.
            let _held = arrival;
            std::future::pending::<Result<Response<Settling>, Infallible>>().await
        }
    });
    let (peer, rules, wheel) = (Arc::new(peer), Arc::new(Rules::default()), Wheel::start());
    let (stream, load) = (Stream::plain(socket), Load::default());
    let served = h2::serve(stream, Bytes::new(), peer, rules, wheel, drain, load, service);
    let served = tokio::spawn(served);
    let hello = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, b""),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, GET),
    ];
    client.write_all(&hello.concat()).await.expect("it is read");
    called.recv().await.expect("it is asked");
    // From here on time passes when nobody has anything to do.
    tokio::time::pause();
    let (since, mut pings) = (Instant::now(), 0);
    let over = async {
        let mut header = [0; 9];
        while client.read_exact(&mut header).await.is_ok() {
            let mut payload = vec![0; usize::from(header[1]) << 8 | usize::from(header[2])];
            client.read_exact(&mut payload).await.expect("the rest of a frame");
            if header[3] == PING {
                if pings < answered {
                    client.write_all(&frame(PING, ACK, 0, &payload)).await.expect("it is read");
                }
                pings += 1;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(900), over).await.expect("it is let go of");
    let lasted = since.elapsed();
    (served.await.expect("no panic"), lasted, pings)
}

#[tokio::test]
async fn a_client_with_open_requests_that_answers_no_ping_is_let_go_of() {
    for answered in [0, 3] {
        let (farewell, lasted, asked) = outlasts(answered).await;
        assert_eq!(farewell.end, Http2End::PingTimeout);
        assert_eq!(asked, answered + 1, "and none after the one that was not answered");
        // It is looked at every half minute: a ping is sent when nothing has come since the last
        // look, and at the next one nobody is there.
        let looks = 3 + 2 * answered as u64;
        assert_eq!(lasted.as_secs(), 30 * looks, "{lasted:?}");
        tokio::time::resume();
    }
}
