//! Ends that nobody wished for: connections that die, clients that leave, usher stopping.

use std::{
    ffi::OsStr,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::net::TcpStream;

use crate::support::{
    client::{CLOSE, Client},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};
use crate::{GET, started};

#[tokio::test]
async fn a_get_is_replayed_when_its_reused_connection_had_died_and_a_post_is_not() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("1")).await;
    client.answer().await;
    // usher cannot know that the origin goes away just when it has read the next request.
    client.send(GET).await;
    line.read().await;
    drop(line);
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("2")).await;
    assert_eq!(client.answer().await.text(), "2");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    line.read().await;
    drop(line);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_broke")));
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("3")).await;
    client.answer().await;
    let keyed = "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi";
    client.send(keyed).await;
    line.read().await;
    line.reset();
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.body, b"hi", "a gathered body is sent again");
    line.write(ok("4")).await;
    assert_eq!(client.answer().await.text(), "4");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_retries_total", &["replayed"]), 2.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_abandoned_and_its_connection_closed_after_the_hold() {
    let (origin, usher, mut client) = started("    abandoned: { hold: 50ms }\n").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    client.reset();
    line.closed().await;
    let abandoned = "usher_requests_total{audience=\"everyone\",pool=\"rails\",arm=\"stable\",\
                     status=\"none\",outcome=\"abandoned\"}";
    usher.reaches(abandoned, 1.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0);
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("half-closes");
    line.write(ok("still here")).await;
    assert_eq!(client.answer().await.text(), "still here");
    assert!(client.closed().await.is_empty());
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_accepts_no_more() {
    let (origin, usher, mut client) = started("").await;
    let mut idle = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.stop();
    assert!(idle.closed().await.is_empty(), "an idle connection is closed");
    line.write(ok("in time")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("in time", CLOSE));
    assert!(client.closed().await.is_empty());
    drop((client, idle));
    usher.stop().await;
}

/// The process is stopped while the connection dies and the next request comes, so that it finds
/// both at once and hands the request to a connection that never takes it.
#[tokio::test]
async fn a_request_that_a_dead_connection_never_took_reaches_another_endpoint_as_it_was() {
    let post = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let (first, second) = (Origin::start().await, Origin::start().await);
    let heavy = format!("{{ address: \"{}\", weight: 1000 }}", first.endpoint());
    let port = free_port();
    let text = one_pool(&[heavy, second.endpoint()], "")
        .replace("workers: 2", "workers: 1")
        .replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("it can be written");
    let usher = std::process::Command::new(env!("CARGO_BIN_EXE_usher"))
        .args([OsStr::new("run"), OsStr::new("--config"), file.path().as_os_str()])
        .stderr(Stdio::null())
        .spawn();
    let usher = Killed(usher.expect("the binary starts"));
    let address = ([127, 0, 0, 1], port).into();
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut client = Client::connect(address).await;
    client.send(post).await;
    let mut line = first.accept().await;
    line.read().await;
    line.write(ok("first")).await;
    assert_eq!(client.answer().await.text(), "first");
    let process = Pid::from_child(&usher.0);
    kill_process(process, Signal::STOP).expect("it runs");
    waitpid(Some(process), WaitOptions::UNTRACED).expect("it stops");
    client.send(post).await;
    drop((first, line));
    kill_process(process, Signal::CONT).expect("it goes on");
    let mut line = second.accept().await;
    let asked = line.read().await;
    assert_eq!((asked.field("host"), asked.field("x-audience")), (Some("a"), Some("everyone")));
    assert_eq!(asked.body, b"hi");
    line.write(ok("second")).await;
    assert_eq!(client.answer().await.text(), "second");
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

#[tokio::test]
async fn a_request_that_stopping_cuts_off_is_no_fault_of_its_client() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.cut();
    client.closed().await;
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["draining"]), 1.0);
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 0.0);
}

#[tokio::test]
async fn the_slot_of_a_request_that_failed_is_free_before_its_client_hears_of_it() {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], "    retry: off\n")).await;
    let mut client = Client::connect(usher.address()).await;
    let spoil = async {
        loop {
            let mut line = origin.accept().await;
            line.read().await;
            line.reset();
        }
    };
    let ask = async {
        for _ in 0..50 {
            client.send(GET).await;
            assert_eq!(client.answer().await.status, 502);
            assert_eq!(usher.samples().get("usher_pool_in_flight{pool=\"rails\"}"), 0.0);
        }
    };
    tokio::select! {
        () = spoil => {}
        () = ask => {}
    }
    drop((origin, client));
    usher.stop().await;
}
