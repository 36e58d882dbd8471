//! A configuration that changes while requests are open on a connection.

use std::{fs, path::PathBuf};

use crate::{
    support::{
        client::refused,
        http2::{Http2, asked, get, within},
        orders::reload,
        origin::{Asked, Line, Origin, ok},
        usher::{Usher, one_pool},
    },
    with_http2,
};

const GENERATION: &str = "usher_config_generation";

/// A configuration in a directory of its own, and usher that runs by it.
struct House {
    usher: Usher,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

// === impl House ===

impl House {
    async fn open(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("usher.yaml");
        fs::write(&path, text).expect("it can be written");
        Self { usher: Usher::start_at(&path).await, path, _directory: directory }
    }

    /// Puts `text` to use; usher's own look at the file may be first.
    async fn changes(&self, text: &str, generation: u32) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, text).expect("it can be written");
        fs::rename(beside, &self.path).expect("it can be put there");
        let (answer, view) = reload(&self.usher).await;
        assert_eq!(answer.status, 200, "{view}");
        self.usher.reaches(GENERATION, f64::from(generation)).await;
    }
}

fn text(endpoint: &str) -> String {
    with_http2(&one_pool(&[endpoint.to_owned()], ""), "")
}

async fn read(line: &mut Line) -> String {
    line.read().await.target().to_owned()
}

#[tokio::test]
async fn what_is_open_goes_on_as_it_was_decided_and_the_next_request_does_not() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let house = House::open(&text(&first.endpoint())).await;
    let mut client = Http2::connect(house.usher.address()).await;
    let open = [client.begin(get("/0"), true).await, client.begin(get("/1"), true).await];
    let mut lines = [first.accept().await, first.accept().await];
    let targets = [read(&mut lines[0]).await, read(&mut lines[1]).await];
    // One has an answer that has begun, and one a body that has not come whole.
    lines[0].write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
    let mut upload = client.begin(asked("POST", "/upload"), false).await;
    upload.send(b"half", false).await;
    house.usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 3.0).await;
    house.changes(&text(&second.endpoint()).replace("everyone", "somebody"), 2).await;

    let new = client.begin(get("/new"), true).await;
    let mut line = second.accept().await;
    let asked = line.read().await;
    assert_eq!((asked.target(), asked.field("x-audience")), ("/new", Some("somebody")));
    line.write(ok("second")).await;
    assert_eq!(new.answer().await.text(), "second", "on the same connection");
    lines[0].write("half").await;
    lines[1].write(ok("first")).await;
    for (number, open) in open.into_iter().enumerate() {
        let text = if targets[0] == format!("/{number}") { "halfhalf" } else { "first" };
        assert_eq!(open.answer().await.text(), text);
    }
    upload.send(b"half", true).await;
    let (mut line, asked) = asked_again(&first, lines).await;
    assert_eq!((asked.target(), asked.field("x-audience")), ("/upload", Some("everyone")));
    assert_eq!(asked.body, b"halfhalf");
    line.write(ok("whole")).await;
    assert_eq!(upload.answer().await.text(), "whole");
    drop(client);
    let samples = house.usher.stop().await;
    // Those for the audience that has gone are told no more once its last request has ended.
    assert_eq!(samples.sum("usher_upstream_seconds_count", &["pool=\"rails\""]), 4.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"somebody\"", "\"served\""]), 1.0);
}

/// The next request of `origin`, on a new line or on one of these.
async fn asked_again(origin: &Origin, lines: [Line; 2]) -> (Line, Asked) {
    let [mut one, mut other] = lines;
    let anew = async {
        let mut line = origin.accept_for_ever().await;
        let asked = line.read().await;
        (line, asked)
    };
    let asked = async {
        tokio::select! {
            Some(asked) = one.try_read() => (one, asked),
            Some(asked) = other.try_read() => (other, asked),
            asked = anew => asked,
        }
    };
    within(asked).await
}

#[tokio::test]
async fn a_listener_that_goes_leaves_its_connections_what_they_have_and_what_they_ask_next() {
    let origin = Origin::start().await;
    let text = text(&origin.endpoint());
    let house = House::open(&text).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let line = text.lines().next().expect("listeners");
    let entry = line.strip_prefix("listeners: [").and_then(|it| it.strip_suffix(']'));
    let more = entry.expect("a list").replace("127.0.0.1:0", &format!("\"{address}\""));
    let two = text.replacen(line, &format!("{}, {more}]", line.trim_end_matches(']')), 1);
    house.changes(&two, 2).await;
    let mut client = Http2::connect(address).await;
    let open = client.begin(get("/open"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    house.changes(&text, 3).await;
    refused(address).await;
    let next = client.begin(get("/next"), true).await;
    let mut other = origin.accept().await;
    assert_eq!(read(&mut other).await, "/next");
    other.write(ok("next")).await;
    assert_eq!(next.answer().await.text(), "next", "the connection goes on");
    line.write(ok("open")).await;
    assert_eq!(open.answer().await.text(), "open");
    house.usher.remote.stop();
    client.ended().await.expect("a GOAWAY without an error, and an end");
    house.usher.stop().await;
}

/// Each snapshot has a tag: its audience and its endpoint bear the same name. Many requests are
/// open at once on each connection whenever another one is put to use.
#[tokio::test]
async fn of_many_requests_at_once_none_is_lost_and_none_sees_halves_of_two_configurations() {
    const AT_ONCE: usize = 10;
    let names = ["first", "second"];
    let mut texts = Vec::new();
    for name in names {
        let origin = Origin::start().await;
        texts.push(text(&origin.endpoint()).replace("everyone", name));
        origin.serve(move |asked| {
            ok(&format!("{name} for {}", asked.field("x-audience").unwrap_or("nobody")))
        });
    }
    let house = House::open(&texts[0]).await;
    let address = house.usher.address();
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut client = Http2::connect(address).await;
                let mut seen = std::collections::BTreeSet::new();
                while !*stopped.borrow() || seen.len() < 2 {
                    let mut open = Vec::new();
                    for _ in 0..AT_ONCE {
                        open.push(client.begin(get("/"), true).await);
                    }
                    for sent in open {
                        seen.insert(sent.answer().await.text().to_owned());
                    }
                }
                seen
            })
        })
        .collect();
    let mut round: usize = 0;
    while round < 40 || !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        round += 1;
        house.changes(&texts[round % 2], round as u32 + 1).await;
        if round == 40 {
            stopping.send(true).expect("they listen");
        }
    }
    for client in clients {
        let seen = client.await.expect("no request is lost");
        assert_eq!(seen.iter().collect::<Vec<_>>(), ["first for first", "second for second"]);
    }
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"failed\""]), 0.0);
    assert_eq!(samples.sum("usher_http2_connections_closed_total", &["\"closed\""]), 3.0);
}
