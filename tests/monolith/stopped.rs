//! Stopping a real usher finishes what real Pumas are working on, and is quick for those who ask
//! twice.

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::visitor::Visitor;
use crate::{
    puma::Puma,
    support::{binary::Binary, client::Client, usher::Samples},
};

/// Threads of the one Puma, and requests that keep all of them busy.
const BUSY: u32 = 4;

/// usher in front of one Puma.
async fn started() -> (Puma, Binary) {
    let puma = Puma::start("rails", BUSY, 0);
    let text = format!(
        "workers: 2\n\
         drain: {{ grace: 0s, requests: 20s, tunnels: 20s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: {BUSY} }} }}\n",
        puma.address
    );
    let usher = Binary::start(&text).await;
    (puma, usher)
}

/// Clients that all wait for an answer that takes `ms`, once it is being worked on.
async fn waiting(usher: &Binary, ms: u64) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..BUSY {
        let mut client = Client::connect(usher.clients).await;
        client.send(format!("GET /slow?ms={ms} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).await;
        clients.push(client);
    }
    let busy = |samples: &Samples| samples.sum("usher_pool_in_flight", &[]) == f64::from(BUSY);
    usher.when("all are being worked on", busy).await;
    clients
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_the_exit_code_is_0() {
    let (_puma, mut usher) = started().await;
    let mut idle = Client::connect(usher.clients).await;
    assert_eq!(idle.get("/up").await.status, 200);
    let clients = waiting(&usher, 1_000).await;
    usher.signal(Signal::TERM);
    for mut client in clients {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.whole, answer.text()), (200, true, "slow\n"));
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(client.closed().await, b"");
    }
    assert_eq!(idle.closed().await, b"");
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    assert!(TcpStream::connect(usher.clients).await.is_err());
    assert_eq!(usher.access_log().lines().count(), BUSY as usize + 1);
}

#[tokio::test]
async fn under_load_every_answer_that_begins_is_whole() {
    let (_puma, mut usher) = started().await;
    let visit = |_| {
        let mut visitor = Visitor::new(usher.clients);
        tokio::spawn(async move {
            let mut served = 0;
            // usher may close an idle connection just as the next request is on its way.
            while let Some(answer) = visitor
                .ask("GET /bytes/200000?chunked=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                .await
            {
                assert_eq!((answer.status, answer.whole, answer.body.len()), (200, true, 200_000));
                served += 1;
                if answer.field("connection") == Some("close") {
                    break;
                }
            }
            served
        })
    };
    let visiting: Vec<_> = (0..2 * BUSY).map(visit).collect();
    let warm = |samples: &Samples| samples.sum("usher_requests_total", &[]) >= 100.0;
    usher.when("the load is on", warm).await;
    usher.signal(Signal::TERM);
    let mut served = 0;
    for visit in visiting {
        served += visit.await.expect("every answer is whole");
    }
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    let log = usher.access_log();
    assert_eq!(log.lines().filter(|line| line.contains("\"served\"")).count(), served);
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_what_is_in_flight() {
    let (_puma, mut usher) = started().await;
    let clients = waiting(&usher, 600_000).await;
    usher.signal(Signal::INT);
    while usher.readiness().await != 503 {
        tokio::task::yield_now().await;
    }
    usher.signal(Signal::TERM);
    for mut client in clients {
        assert_eq!(client.closed().await, b"", "what was cut is no answer");
    }
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    assert_eq!(usher.access_log().lines().count(), BUSY as usize);
}
