//! A request that makes usher panic is answered, counted once, and takes nothing with it.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use tower::Service;
use usher::{
    body::Body,
    config::{self, LoadOptions},
    drain,
    fault::Fault,
    meters::Meters,
    peer::{Peer, Protocol},
    proxy::{Arrival, Common, Contact, Crew, Memory, Proxy, Pulse, Spool, Tunnels, Worker},
    snapshot::{Published, World},
    telemetry::{AccessLog, access_log::Target},
};

/// Panics when its bytes are asked for, which is within the request's own work.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        panic!("on purpose")
    }
}

fn common(fault_header: &str) -> Common {
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nfault_header: {fault_header}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [127.0.0.1:1], capacity: 5 }} }}\n"
    );
    let parsed = config::parse_text("test.yaml", &text, &LoadOptions::default());
    let (config, _) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    let meters = Meters::new(1, &[]);
    let snapshot = World::new(meters.clone()).compile(Arc::new(config), 1);
    let (log, _writer) = AccessLog::start(Target::Off, 1).expect("no log");
    Common {
        published: Published::new(Arc::new(snapshot)),
        meters,
        log,
        gates: usher::verbs::Gates::default(),
        memory: Memory::new(1, 0),
        buffers: Arc::default(),
        spool: Spool::default(),
        drain: drain::channel().1,
        pseudonym: Common::draw_pseudonym(),
        tunnels: Arc::new(Tunnels::default()),
        shelves: Arc::new(usher::upstream::Shelves::of(1)),
        pulse: Pulse::of(1),
        crew: Crew::of(1),
    }
}

/// The head and the text of the answer to a request with this body and `Accept`.
async fn answered(proxy: &mut Proxy, accept: &str) -> (http::response::Parts, String) {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let request = Request::post("/").header("host", "a").header("accept", accept);
    let arrival = Arrival {
        peer: Arc::new(Peer {
            address: Some(address),
            local: Some(address),
            listener: address.into(),
            trusted: false,
            tls: None,
        }),
        protocol: Protocol::Http11,
        arrived: Instant::now(),
        contact: Contact::default(),
        deadline: None,
        request: Ok(request.body(Body::new(Broken)).expect("a request").into()),
    };
    let Ok(answer) = proxy.call(arrival).await;
    let (head, body) = answer.into_parts();
    let text = body.collect().await.expect("a body").to_bytes();
    (head, String::from_utf8(text.into()).expect("text"))
}

#[tokio::test]
async fn a_request_that_panics_is_told_so_under_its_id_and_counted_once() {
    let common = Arc::new(common("on"));
    let mut proxy = Proxy::new(Worker::start(0, common.clone()));
    let (head, problem) = answered(&mut proxy, "*/*").await;
    let id = head.headers["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!((head.status.as_u16(), id.len()), (500, 32), "{head:?}");
    assert_eq!(head.headers["x-usher-fault"], "panicked");
    assert!(problem.contains("\"fault\":\"panicked\"") && problem.contains(&id), "{problem}");
    let (head, page) = answered(&mut proxy, "text/html").await;
    let next = head.headers["x-request-id"].to_str().expect("text").to_owned();
    assert!(page.contains("<h1>") && page.contains(&next) && next != id, "{page}");
    let readings = common.meters.audiences();
    let everyone = readings.iter().find(|reading| reading.name.as_str() == "everyone");
    let everyone = everyone.expect("an audience");
    assert_eq!((everyone.in_flight, everyone.outcomes), (0, [0, 0, 2, 0]), "{everyone:?}");
    assert_eq!(everyone.faults[&Fault::Panicked], 2);
}

#[tokio::test]
async fn where_the_header_is_off_a_panic_does_not_bring_it_back() {
    let mut proxy = Proxy::new(Worker::start(0, Arc::new(common("off"))));
    let (head, _) = answered(&mut proxy, "*/*").await;
    assert_eq!((head.status.as_u16(), head.headers.get("x-usher-fault")), (500, None));
}
