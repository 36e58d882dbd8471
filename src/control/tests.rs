//! Both ports over real connections.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::{config::Token, edge::Listening};

mod guarded;

/// An usher that is ready until it is told to drain.
#[derive(Default)]
pub(super) struct Stand {
    draining: AtomicBool,
    asked: Mutex<Vec<By>>,
}

/// Both ports of a [`Stand`], served until dropped.
struct Ports {
    stand: Arc<Stand>,
    guard: Arc<Guard>,
    control: SocketAddr,
    metrics: SocketAddr,
    tasks: [JoinHandle<()>; 2],
    close: tokio::sync::watch::Sender<bool>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Sight for Stand {
    fn status(&self) -> StatusView {
        let audience = AudienceView { name: "driver".into(), ..AudienceView::default() };
        let pool = PoolView { name: "drivers".into(), ..PoolView::default() };
        let (audiences, pools) = (vec![audience], vec![pool]);
        StatusView { version: "0.1.0".into(), audiences, pools, ..StatusView::default() }
    }

    fn config(&self) -> Value {
        json!({ "hash": "1f3a" })
    }

    fn versions(
        &self,
        audience: Option<&str>,
        if_min: Option<Version>,
    ) -> Result<VersionsView, String> {
        let asked = (audience, if_min.map(|min| min.to_string()));
        if asked == (Some("driver"), Some("5.2".to_owned())) || asked == (None, None) {
            return Ok(VersionsView::default());
        }
        Err(format!("{asked:?}"))
    }

    fn gate(&self, _audiences: &[&str], _class: &str) -> Result<GateView, String> {
        Ok(GateView { verdict: "unknown".into(), ..GateView::default() })
    }

    fn tell_gate(&self, _order: &GateOrder, _by: &By) -> Result<GateView, String> {
        Ok(GateView::default())
    }

    fn promises(&self) -> SloView {
        SloView { scope: "replica".into(), ..SloView::default() }
    }

    fn metrics(&self) -> String {
        "usher_config_generation 1\n".into()
    }

    fn reload(self: Arc<Self>, by: By) -> Pin<Box<dyn Future<Output = ReloadView> + Send>> {
        self.asked.lock().push(by);
        Box::pin(async {
            ReloadView { result: "applied".into(), generation: Some(2), ..ReloadView::default() }
        })
    }

    fn requests(&self, request_id: &str) -> Result<RequestsView, String> {
        match request_id {
            "known" => Ok(RequestsView::default()),
            _ => Err("how far back".into()),
        }
    }

    fn upgrade(
        self: Arc<Self>,
        _by: By,
        wait: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = UpgradeView> + Send>> {
        let problem = Some(format!("not within {wait:?}"));
        let result = "refused".into();
        Box::pin(async { UpgradeView { result, problem, ..UpgradeView::default() } })
    }

    fn order(self: Arc<Self>, _: Order, _: By) -> Pin<Box<dyn Future<Output = Ordered> + Send>> {
        Box::pin(async { Ok(OrderedView { result: "done".into(), ..OrderedView::default() }) })
    }

    fn readiness(&self) -> Readiness {
        if self.draining.load(Relaxed) { Readiness::Draining } else { Readiness::Ready }
    }
}

impl Ports {
    async fn open() -> Self {
        Self::guarded(&[], None).await
    }

    async fn guarded(tokens: &[Token], audit: Option<PathBuf>) -> Self {
        let stand = Arc::new(Stand::default());
        let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let sockets = [bind(), bind()];
        let addresses = sockets.each_ref().map(|it| it.local_addr().expect("an address"));
        let [control, metrics] = sockets.map(|socket| {
            socket.set_nonblocking(true).expect("it can be told");
            Listening::from(socket2::Socket::from(socket)).watch().expect("it is watched")
        });
        let keys = Keys::new(Some(&addresses[0].into()), tokens);
        let audit = Audit::open(audit).expect("it can be opened");
        let guard = Arc::new(Guard { keys, audit });
        let sight = || Arc::clone(&stand) as Arc<dyn Sight>;
        let (close, closing) = tokio::sync::watch::channel(false);
        let tasks = [
            tokio::spawn(serve_control(control, sight(), guard.clone(), closing.clone())),
            tokio::spawn(serve_metrics(metrics, sight(), closing)),
        ];
        Self { stand, guard, control: addresses[0], metrics: addresses[1], tasks, close }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), head: head.into(), body: body.into() }
}

async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    send(address, &request).await
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, "localhost").await
}

#[tokio::test]
async fn both_ports_say_whether_usher_lives_and_is_ready() {
    let ports = Ports::open().await;
    for address in [ports.control, ports.metrics] {
        assert_eq!(get(address, "/live").await.status, 200);
        assert_eq!(get(address, "/ready").await.status, 200);
    }
    ports.stand.draining.store(true, Relaxed);
    for address in [ports.control, ports.metrics] {
        assert_eq!(get(address, "/live").await.status, 200);
        let ready = get(address, "/ready").await;
        assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    }
}

#[tokio::test]
async fn the_metrics_port_serves_metrics_under_any_host_and_nothing_else() {
    let ports = Ports::open().await;
    for host in ["usher-metrics.shop.svc:9901", "10.0.0.7:9901", "localhost"] {
        let metrics = ask(ports.metrics, "GET", "/metrics", host).await;
        assert_eq!(metrics.status, 200, "{host}");
        assert_eq!(metrics.body, "usher_config_generation 1\n");
        assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"));
    }
    for path in ["/", "/api/v1/status", "/api/v1/config"] {
        assert_eq!(get(ports.metrics, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_control_port_shows_what_usher_is_about() {
    let ports = Ports::open().await;
    let read = async |path| {
        let answer = get(ports.control, path).await;
        assert!(answer.head.contains("cache-control: no-store"));
        serde_json::from_str::<Value>(&answer.body).expect("JSON")
    };
    let status: StatusView =
        serde_json::from_value(read("/api/v1/status").await).expect("it is what we read");
    assert_eq!(status, ports.stand.status());
    assert_eq!(read("/api/v1/audiences").await["audiences"][0]["name"], "driver");
    assert_eq!(read("/api/v1/pools").await["pools"][0]["name"], "drivers");
    assert_eq!(read("/api/v1/config").await, json!({ "hash": "1f3a" }));
    assert_eq!(read("/api/v1/requests/known").await, json!({ "requests": [] }));
    assert_eq!(read("/api/v1/requests/unknown").await["detail"], "how far back");
    assert_eq!(get(ports.control, "/metrics").await.status, 404);
}

#[tokio::test]
async fn the_control_port_answers_under_no_name_but_localhost() {
    let ports = Ports::open().await;
    for host in ["attacker.example", "localhost.attacker.example:9900", ""] {
        for path in ["/api/v1/status", "/live", "/nothing"] {
            let answer = ask(ports.control, "GET", path, host).await;
            assert_eq!(answer.status, 421, "{host} {path}");
        }
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]", "10.9.8.7"] {
        assert_eq!(ask(ports.control, "GET", "/live", host).await.status, 200, "{host}");
    }
    let doubled = "GET /live HTTP/1.1\r\nhost: localhost\r\nhost: attacker.example\r\n\
                   connection: close\r\n\r\n";
    assert_eq!(send(ports.control, doubled).await.status, 421);
    let absolute = "GET http://attacker.example/live HTTP/1.1\r\nhost: localhost\r\n\
                    connection: close\r\n\r\n";
    assert_eq!(send(ports.control, absolute).await.status, 421);
}

#[tokio::test]
async fn what_is_not_served_is_a_problem_with_details() {
    let ports = Ports::open().await;
    let missing = get(ports.control, "/api/v2/status").await;
    assert_eq!(missing.status, 404);
    assert!(missing.head.contains("content-type: application/problem+json"));
    let problem: Value = serde_json::from_str(&missing.body).expect("JSON");
    assert_eq!((&problem["title"], &problem["status"]), (&json!("Not Found"), &json!(404)));
    let refused = ask(ports.control, "DELETE", "/api/v1/status", "localhost").await;
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: GET,HEAD"), "{}", refused.head);
    assert!(refused.head.contains("application/problem+json"));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let ports = Ports::open().await;
    let large =
        format!("GET /live HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(99_999));
    let mut stream = TcpStream::connect(ports.metrics).await.expect("it accepts");
    let _ = stream.write_all(large.as_bytes()).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    assert!(text.is_empty() || text.starts_with(b"HTTP/1.1 431"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let ports = Ports::open().await;
    for begun in ["", "GET /live HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(ports.control).await.expect("it accepts");
        stream.write_all(begun.as_bytes()).await.expect("it reads");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("it is closed in time");
    }
}

#[tokio::test(start_paused = true)]
async fn with_too_many_connections_the_next_one_waits_until_one_has_gone() {
    let ports = Ports::open().await;
    let start = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..port::CONNECTIONS_MAX {
        silent.push(TcpStream::connect(ports.control).await.expect("it accepts"));
    }
    assert_eq!(get(ports.control, "/live").await.status, 200);
    assert!(start.elapsed() >= port::HEAD_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_never_silent_ends_at_its_age() {
    let ports = Ports::open().await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(ports.metrics).await.expect("it accepts");
    let mut answer = [0; 1_024];
    loop {
        let sent = stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if sent.is_err() || !matches!(stream.read(&mut answer).await, Ok(1..)) {
            break;
        }
        tokio::time::advance(port::HEAD_WAIT / 2).await;
    }
    let age = start.elapsed();
    assert!((port::AGE_MAX..port::AGE_MAX * 2).contains(&age), "{age:?}");
}

#[tokio::test]
async fn where_another_process_answers_a_port_accepts_no_more_and_its_connections_end() {
    let ports = Ports::open().await;
    let mut idle = Vec::new();
    for address in [ports.control, ports.metrics] {
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        let request = b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request).await.expect("it reads");
        let mut text = Vec::new();
        while !text.ends_with(b"live\n") {
            stream.read_buf(&mut text).await.expect("it answers");
        }
        idle.push((stream, address));
    }
    ports.close.send_replace(true);
    for (mut stream, address) in idle {
        assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_upgrade_waits_no_longer_than_it_is_told_and_nonsense_is_refused() {
    let ports = Ports::open().await;
    let post = |body: &str| {
        format!(
            "POST /api/v1/upgrade HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = send(ports.control, &post(r#"{"wait_seconds": 7}"#)).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains(r#""problem":"not within Some(7s)""#), "{}", answer.body);
    for wrong in [r#"{"wait_seconds": 0}"#, r#"{"wait_seconds": 301}"#, r#"{"wait": 7}"#] {
        assert_eq!(send(ports.control, &post(wrong)).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn versions_are_asked_about_by_two_parameters_and_no_other() {
    let ports = Ports::open().await;
    let get = |query: &str| {
        format!(
            "GET /api/v1/versions{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
    };
    for query in ["", "?", "?audience=driver&if_min=5.2"] {
        let answer = send(ports.control, &get(query)).await;
        assert_eq!(
            (answer.status, answer.body.contains("\"audiences\":[]")),
            (200, true),
            "{query}"
        );
    }
    for (query, complaint) in [
        ("?if_min=newest", "`if_min` is no version"),
        ("?if_min=5.2-beta", "`if_min` is no version"),
        ("?audience=nobody", "nobody"),
        ("?min=5.2", "the parameters audience and if_min"),
    ] {
        let answer = send(ports.control, &get(query)).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains(complaint), "{}", answer.body);
    }
}
