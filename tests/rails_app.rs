//! The Rails application of `tests/rails` on a real Puma, without usher: what the other real tests
//! rely on.

#![allow(clippy::unwrap_used)]

#[path = "support/puma.rs"]
mod puma;

use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::{TcpStream, UnixStream};

use crate::puma::{Plan, Puma};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

// === impl Answer ===

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[tokio::test]
async fn every_audience_is_served_and_told_which_pool_it_met() {
    let puma = Puma::start("restaurant", 2, 0);
    let paths = [
        ("/up", "text/plain"),
        ("/", "text/html"),
        ("/menus", "text/html"),
        ("/menus.json", "application/json"),
        ("/menus/1", "text/html"),
        ("/orders", "application/json"),
        ("/orders/1", "text/html"),
        ("/api/driver/deliveries", "application/json"),
        ("/api/driver/deliveries/1", "application/json"),
        ("/restaurant/orders", "application/json"),
        ("/restaurant/menus", "application/json"),
        ("/admin", "application/json"),
        ("/admin/reports", "application/json"),
        ("/admin/reports/sales?days=3", "text/csv"),
    ];
    for (path, kind) in paths {
        let answer = get(&puma, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", puma.log());
        assert!(answer.header("content-type").starts_with(kind), "{path}");
        assert_eq!(answer.header("x-pool"), "restaurant", "{path}");
        assert_eq!(answer.header("x-process"), puma.id().to_string(), "{path}");
        assert!(answer.header("x-usher-route").contains('#'), "{path}");
    }
}

#[tokio::test]
async fn an_order_goes_from_the_customer_over_the_restaurant_to_the_driver() {
    let puma = Puma::start("customer", 2, 0);
    let order = send(&puma, Method::POST, "/orders?menu_id=1&quantity=2", "").await;
    assert_eq!(order.status, 201);
    let id = order.json()["id"].as_u64().unwrap();

    let path = format!("/restaurant/orders/{id}?status=ready");
    assert_eq!(send(&puma, Method::PATCH, &path, "").await.json()["status"], "ready");

    let order = get(&puma, &format!("/orders/{id}.json")).await.json();
    let delivery = order["delivery"]["id"].as_u64().unwrap();
    let path = format!("/api/driver/deliveries/{delivery}?driver=d7&status=claimed");
    assert_eq!(send(&puma, Method::PATCH, &path, "").await.json()["driver"], "d7");

    let path = "/api/driver/position?driver=d7&latitude=41.9&longitude=12.5";
    assert_eq!(send(&puma, Method::POST, path, "").await.status, 204);
    let position = get(&puma, "/api/driver/position?driver=d7").await.json();
    assert_eq!(position["latitude"], 41.9);

    let path = "/orders?menu_id=1&quantity=0";
    assert_eq!(send(&puma, Method::POST, path, "").await.status, 422);
    assert_eq!(get(&puma, "/orders/100000").await.status, 404);
}

#[tokio::test]
async fn the_echo_shows_what_rack_and_rails_see() {
    let puma = Puma::start("driver", 2, 0);
    let answer = send(&puma, Method::PUT, "/api/driver/echo?a=%20&a=2", "hello").await;
    let echo = answer.json();
    assert_eq!(echo["rack"]["method"], "PUT");
    assert_eq!(echo["rack"]["path_info"], "/api/driver/echo");
    assert_eq!(echo["rack"]["query"], "a=%20&a=2");
    assert_eq!(echo["headers"]["HTTP_X_REPEATED"], "1, 2");
    assert_eq!(echo["rails"]["host"], "shop.example");
    assert_eq!(echo["rails"]["cookies"]["visitor"], "1");
    assert_eq!(echo["body"]["bytes"], 5);
    assert_eq!(echo["body"]["sha256"], digest(b"hello"));
}

#[tokio::test]
async fn bytes_come_in_the_promised_number_with_or_without_a_length() {
    let puma = Puma::start("customer", 2, 0);
    let expected: Vec<u8> = (0..251).cycle().take(1_000_000).collect();

    let whole = get(&puma, "/bytes/1000000").await;
    assert_eq!(whole.header("content-length"), "1000000");
    assert!(whole.body == expected);

    let chunked = get(&puma, "/bytes/1000000?chunked=1").await;
    assert_eq!(chunked.header("transfer-encoding"), "chunked");
    assert!(chunked.body == expected);

    let head = send(&puma, Method::HEAD, "/bytes/1000000", "").await;
    assert_eq!(head.header("content-length"), "1000000");
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn an_upload_is_counted_and_digested() {
    let puma = Puma::start("customer", 2, 0);
    let body = vec![7; 300_000];
    let answer = send(&puma, Method::POST, "/upload", body.clone()).await;
    assert_eq!(answer.json()["bytes"], 300_000);
    assert_eq!(answer.json()["sha256"], digest(&body));
}

#[tokio::test]
async fn an_event_is_written_before_the_next_one_exists() {
    let puma = Puma::start("customer", 3, 0);
    let mut stream = open(&puma, Method::GET, "/sse?channel=kitchen", "").await.into_body();
    assert_eq!(event(&mut stream).await, "data: hello\n\n");
    for text in ["first", "second"] {
        let path = format!("/sse/push?channel=kitchen&data={text}");
        let pushed = send(&puma, Method::POST, &path, "").await;
        assert_eq!(pushed.json()["heard"], 1);
        assert_eq!(event(&mut stream).await, format!("data: {text}\n\n"));
    }
    send(&puma, Method::POST, "/sse/push?channel=kitchen&close=1", "").await;
    assert!(stream.frame().await.is_none());
}

#[tokio::test]
async fn trouble_is_what_it_says() {
    let puma = Puma::start("customer", 2, 0);
    assert_eq!(get(&puma, "/slow?ms=1").await.status, 200);
    assert_eq!(get(&puma, "/fail").await.status, 500);
    assert_eq!(get(&puma, "/no/such/path").await.status, 404);
    assert_eq!(get(&puma, "/sendfile").await.header("x-accel-redirect"), "/srv/reports/sales.csv");
    let apache = get(&puma, "/sendfile?header=X-Sendfile").await;
    assert_eq!(apache.header("x-sendfile"), "/srv/reports/sales.csv");
    assert_eq!(get(&puma, "/cookies").await.headers.get_all("set-cookie").iter().count(), 2);
}

#[test]
fn action_cables_own_client_hears_its_echo_and_strangers_are_turned_away() {
    let puma = Puma::start("driver", 2, 0);
    let url = format!("ws://{}/cable", puma.address);
    let cable = |origin| {
        Command::new("node")
            .env("NODE_PATH", "/usr/share/nodejs")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rails/client/cable.js"))
            .args([url.as_str(), origin, "one", "two"])
            .output()
            .unwrap()
    };

    let heard = cable("http://localhost:1");
    assert!(heard.status.success(), "{heard:?}");
    let lines: Vec<_> = str::from_utf8(&heard.stdout).unwrap().lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], r#"{"pool":"driver","echo":"two"}"#);

    let refused = cable("http://stranger.example");
    assert_eq!(str::from_utf8(&refused.stderr).unwrap(), "answered 404\n");
}

#[tokio::test]
async fn a_pool_of_two_workers_is_ready_once_both_are() {
    let puma = Puma::start("customer", 1, 2);
    assert_eq!(get(&puma, "/up").await.status, 200);
    assert_ne!(get(&puma, "/up").await.header("x-process"), puma.id().to_string());
}

#[tokio::test]
async fn a_puma_listens_on_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", directory.path().join("puma.sock").display());
    let puma = Plan::new("customer", 2, 0).at(&address).start();
    assert_eq!(puma.address, address);
    assert_eq!(get(&puma, "/up").await.header("x-pool"), "customer");
}

#[tokio::test]
async fn a_killed_puma_comes_back_where_it_was_with_what_it_knew() {
    let mut puma = Puma::start("customer", 2, 0);
    let address = puma.address.clone();
    let order = send(&puma, Method::POST, "/orders?menu_id=1", "").await.json();
    puma.kill();
    assert!(TcpStream::connect(&address).await.is_err());
    puma.restart();
    assert_eq!(puma.address, address);
    let again = get(&puma, &format!("/orders/{}.json", order["id"])).await;
    assert_eq!(again.json()["created_at"], order["created_at"]);
}

#[test]
fn a_puma_that_cannot_start_says_why() {
    let plan = Plan::new("customer", 2, 0).env("DATABASE_URL", "sqlite3:/dev/null/shop.sqlite3");
    let complaint = std::panic::catch_unwind(|| plan.start()).map(|_| ()).unwrap_err();
    let complaint = complaint.downcast::<String>().unwrap();
    assert!(complaint.contains("/dev/null"), "{complaint}");
}

async fn get(puma: &Puma, path: &str) -> Answer {
    send(puma, Method::GET, path, "").await
}

async fn send(puma: &Puma, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
    let (head, body) = open(puma, method, path, body).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

async fn open(
    puma: &Puma,
    method: Method,
    path: &str,
    body: impl Into<Bytes>,
) -> http::Response<Incoming> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "shop.example")
        .header("Accept", if path.contains('.') { "*/*" } else { "text/html, */*" })
        .header("Content-Type", "application/octet-stream")
        .header("Cookie", "visitor=1")
        .header("X-Repeated", "1")
        .header("X-Repeated", "2")
        .body(Full::new(body.into()))
        .unwrap();
    match puma.address.strip_prefix("unix:") {
        Some(path) => exchange(UnixStream::connect(path).await.unwrap(), request).await,
        None => exchange(TcpStream::connect(&puma.address).await.unwrap(), request).await,
    }
}

async fn exchange<S>(socket: S, request: Request<Full<Bytes>>) -> http::Response<Incoming>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn event(stream: &mut Incoming) -> String {
    let frame = stream.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
