//! What `usher why` tells of requests that have ended, over a whole usher.

use serde_json::Value;

use crate::support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};
use crate::{GET, started};

/// What the control port tells of the request `id`.
async fn told(usher: &Usher, id: &str) -> (u16, Value) {
    let mut client = Client::plain(usher.addresses.control.expect("a control port")).await;
    let get = format!("GET /api/v1/requests/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send(get).await;
    let answer = client.answer().await;
    (answer.status, serde_json::from_str(answer.text()).expect("JSON"))
}

fn id(answer: &crate::support::client::Answer) -> String {
    answer.field("x-request-id").expect("every answer has an id").to_owned()
}

const ENDED: &str = "usher_requests_in_flight{audience=\"everyone\"}";

#[tokio::test]
async fn a_request_that_went_well_is_told_with_its_endpoint_and_times() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|asked| {
        // As Rails does.
        let id = asked.field("x-request-id").expect("usher gives one");
        let head = format!("HTTP/1.1 200 OK\r\nX-Request-Id: {id}\r\nContent-Length: 0\r\n\r\n");
        head.into_bytes()
    });
    let text = one_pool(std::slice::from_ref(&endpoint), "").replace(
        "audiences: [",
        "audiences: [{ name: driver, pool: rails, match: [{ path: /api/driver/** }] }, ",
    );
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    let answer = client.get("/api/driver/position?token=secret").await;
    usher.reaches("usher_requests_in_flight{audience=\"driver\"}", 0.0).await;
    let (status, view) = told(&usher, &id(&answer)).await;
    let request = &view["requests"][0];
    assert_eq!((status, &request["path"]), (200, &"/api/driver/position".into()), "{view}");
    assert_eq!((&request["audience"], &request["pool"]), (&"driver".into(), &"rails".into()));
    assert_eq!(request["rule"], "path /api/driver/**");
    assert_eq!((&request["status"], &request["outcome"]), (&200.into(), &"served".into()));
    assert_eq!(request["attempts"][0]["endpoint"], endpoint);
    assert_eq!(request["attempts"][0]["ended"], "answered");
    for time in ["queue_ms", "connect_ms", "first_byte_ms", "upstream_ms", "total_ms"] {
        assert!(request[time].is_f64(), "{time} of {request}");
    }
    assert!(request["fault"].is_null() && !view.to_string().contains("secret"));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_request_that_went_wrong_is_told_attempt_by_attempt() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("1")).await;
    client.answer().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    line.read().await;
    drop(line);
    let answer = client.answer().await;
    usher.reaches(ENDED, 0.0).await;
    let (_, view) = told(&usher, &id(&answer)).await;
    let request = &view["requests"][0];
    assert_eq!((&request["status"], &request["fault"]), (&502.into(), &"upstream_broke".into()));
    assert_eq!(request["attempts"][0]["ended"], "upstream_broke", "{view}");
    // A GET goes on to a new connection.
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("2")).await;
    client.answer().await;
    client.send(GET).await;
    line.read().await;
    drop(line);
    let mut line = origin.accept().await;
    let asked = line.read().await;
    line.write(ok("3")).await;
    client.answer().await;
    usher.reaches(ENDED, 0.0).await;
    let given = asked.field("x-request-id").expect("usher gives one");
    let (_, view) = told(&usher, given).await;
    let attempt = &view["requests"][0]["attempts"][0];
    assert_eq!((&attempt["ended"], &attempt["replayed"]), (&"answered".into(), &true.into()));
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn endpoints_that_take_no_connection_are_told_in_order() {
    let usher = Usher::start(&one_pool(&["127.0.0.1:1".into(), "127.0.0.1:2".into()], "")).await;
    let mut client = Client::connect(usher.address()).await;
    let answer = client.get("/").await;
    usher.reaches(ENDED, 0.0).await;
    let (_, view) = told(&usher, &id(&answer)).await;
    let request = &view["requests"][0];
    assert_eq!(request["fault"], "no_endpoint");
    let attempts = request["attempts"].as_array().expect("a list");
    let ended: Vec<_> = attempts.iter().map(|it| it["ended"].as_str()).collect();
    assert_eq!(ended, [Some("no_connection"); 2], "{view}");
    assert_ne!(attempts[0]["endpoint"], attempts[1]["endpoint"]);
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn what_is_not_remembered_says_how_far_back_it_goes() {
    let (_origin, usher, mut client) = started("").await;
    client.send("GET /../ HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let refused = client.answer().await;
    usher.reaches("usher_requests_in_flight{audience=\"none\"}", 0.0).await;
    let (_, view) = told(&usher, &id(&refused)).await;
    let request = &view["requests"][0];
    assert_eq!(
        (&request["audience"], &request["fault"]),
        (&"none".into(), &"ambiguous_path".into())
    );
    let (status, view) = told(&usher, "nobody-asked-this").await;
    let detail = view["detail"].as_str().expect("a sentence");
    assert!(status == 404 && detail.contains("remembered since the start"), "{detail}");
    drop(client);
    usher.stop().await;
}
