//! Which connection goes first, and that it is watched where it is used.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix,
};

use http::Request;
use tokio::{
    net::UnixStream,
    runtime::{Builder, Runtime},
};

use super::*;
use crate::{
    body::Body,
    http1::lines::Lines,
    upstream::wire::{Socket, Stream},
};

const KEY: Key = (1, 1);
const IDLE: Duration = Duration::from_secs(15);
const MOMENT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

/// A connection with a number, and the endpoint's side of it.
fn connection(number: u32, behalf: Option<Behalf>) -> (Connection, unix::net::UnixStream) {
    let (ours, theirs) = unix::net::UnixStream::pair().expect("sockets");
    ours.set_nonblocking(true).expect("it does not block");
    let ours = UnixStream::from_std(ours).expect("a runtime");
    let mut connection = Connection::alone(Stream::Plain(Socket::Unix(ours)));
    connection.began(number, behalf, None);
    (connection, theirs)
}

/// The number of the connection that `worker` gets at `now`.
fn taken(shelves: &Shelves, worker: usize, now: Instant) -> Option<u32> {
    let taken = shelves.take(worker, Wanted { key: KEY, behalf: None, now });
    taken.map(|connection| connection.dialect())
}

#[tokio::test]
async fn what_was_just_answered_goes_first_whoevers_shelf_it_lies_on() {
    let (shelves, now) = (Shelves::of(3), Instant::now());
    let (connections, _theirs): (Vec<_>, Vec<_>) = (0..5).map(|it| connection(it, None)).unzip();
    let places = [(0, now), (1, now), (0, now + MOMENT), (2, now + SECOND), (0, now + SECOND)];
    for (connection, (worker, at)) in connections.into_iter().zip(places) {
        shelves.put(worker, KEY, connection, (at, IDLE));
    }
    let later = now + SECOND + MOMENT;
    let order: Vec<_> = std::iter::from_fn(|| taken(&shelves, 0, later)).collect();
    assert_eq!(order, [4, 3, 2, 0, 1], "own and just, another's and just, own, another's");
}

#[tokio::test]
async fn one_that_has_expired_or_was_closed_is_of_use_to_nobody() {
    let (shelves, now) = (Shelves::of(2), Instant::now());
    let (late, _theirs) = connection(1, None);
    shelves.put(1, KEY, late, (now, SECOND));
    for worker in [0, 1] {
        assert_eq!(taken(&shelves, worker, now + SECOND), None);
    }
    let (closed, theirs) = connection(2, None);
    shelves.put(1, KEY, closed, (now, IDLE));
    drop(theirs);
    assert_eq!(shelves.len(1), 2);
    while shelves.len(1) > 0 {
        shelves.sweep(1, now + SECOND);
        // The runtime has to hear of the end.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_was_made_on_behalf_of_another_client_stays_where_it_is() {
    let (shelves, now) = (Shelves::of(2), Instant::now());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let behalf = Some(Behalf { source: address, destination: address });
    let (connection, _theirs) = connection(1, behalf);
    shelves.put(1, KEY, connection, (now, IDLE));
    assert_eq!(taken(&shelves, 0, now), None);
    assert_eq!(taken(&shelves, 1, now), None);
    assert!(shelves.take(0, Wanted { key: KEY, behalf, now }).is_some());
}

#[tokio::test]
async fn the_one_that_was_put_there_last_can_be_taken_back_as_long_as_nobody_has_it() {
    let (shelves, now) = (Shelves::of(2), Instant::now());
    let (one, _theirs) = connection(1, None);
    shelves.put(0, KEY, one, (now, IDLE));
    let (other, _theirs) = connection(2, None);
    shelves.put(0, KEY, other, (now, IDLE));
    let back = shelves.take_back(0, KEY).expect("it is there");
    assert_eq!(back.dialect(), 2);
    assert_eq!(taken(&shelves, 1, now), Some(1));
    assert!(shelves.take_back(0, KEY).is_none());
}

#[test]
fn one_that_is_taken_goes_on_when_the_runtime_that_made_it_has_ended() {
    let (shelves, now) = (Shelves::of(2), Instant::now());
    let [maker, taker] = [(); 2].map(|()| runtime());
    let mut theirs = maker.block_on(async {
        let (connection, theirs) = connection(1, None);
        shelves.put(1, KEY, connection, (now, IDLE));
        theirs
    });
    let wanted = Wanted { key: KEY, behalf: None, now };
    let mut connection =
        taker.block_on(async { shelves.take(0, wanted) }).expect("it lies on the other shelf");
    drop(maker);
    theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("it is read");
    let request = Request::get("/").header("host", "a").body(()).expect("a request");
    connection.send(&request.into_parts().0, &Lines::default(), Body::empty());
    let answered = taker.block_on(poll_fn(|cx| connection.poll_answer(cx, |_, _| {})));
    assert_eq!(answered.expect("an answer").status(), 204);
    drop(connection);
    let mut said = String::new();
    theirs.read_to_string(&mut said).expect("text");
    assert!(said.starts_with("GET / HTTP/1.1\r\n"), "{said}");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
