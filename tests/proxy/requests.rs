//! Where requests go and what becomes of them on the way.

use crate::support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Usher, listener_tls, one_pool},
    wire,
};
use crate::{GET, started};

#[tokio::test]
async fn each_audience_goes_to_its_own_pool_and_is_counted_there() {
    let (customers, drivers) = (Origin::start().await, Origin::start().await);
    let (customer, driver) = (customers.endpoint(), drivers.endpoint());
    let tls = listener_tls();
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0{tls} }}]\n\
         control: off\nmetrics: off\naccess_log: off\ndrain: {{ grace: 0s }}\n\
         audiences:\n\
         - {{ name: driver, pool: driver, match: [{{ path: /api/driver/** }}, \
              {{ header: {{ X-App: driver }} }}] }}\n\
         - {{ name: customer, pool: customer }}\n\
         pools:\n  customer: {{ endpoints: [{customer}], capacity: 5 }}\n  \
         driver: {{ endpoints: [{driver}], capacity: 5 }}\n"
    );
    customers.serve(|asked| ok(&format!("customer {}", asked.field("x-audience").unwrap())));
    drivers.serve(|asked| ok(&format!("driver {}", asked.field("x-audience").unwrap())));
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "customer customer");
    assert_eq!(client.get("/api/driver/jobs").await.text(), "driver driver");
    assert_eq!(client.get("//api//driver/jobs/").await.text(), "driver driver");
    assert_eq!(client.get("/api/drivers").await.text(), "customer customer");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-App: driver\r\nX-Audience: admin\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "driver driver");
    drop(client);
    let samples = usher.stop().await;
    let served = |audience| {
        samples.sum("usher_requests_total", &[audience, "status=\"200\"", "outcome=\"served\""])
    };
    assert_eq!(served("audience=\"driver\""), 3.0);
    assert_eq!(served("audience=\"customer\""), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &[]), 5.0);
    assert_eq!(samples.sum("usher_first_byte_seconds_count", &["audience=\"driver\""]), 3.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &["pool=\"customer\""]), 2.0);
}

#[tokio::test]
async fn rails_receives_who_asks_and_what_for_and_nothing_that_a_stranger_made_up() {
    let (origin, usher, mut client) = started("").await;
    client
        .send(
            "GET /a%2Fb?x=1&y=%20 HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: X-Secret\r\n\
             X-Secret: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Request-Id: forged\r\nX-Request-Start: t=1\r\nX_Request_Id: forged\r\n\
             Client-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Usher-Route: a#b\r\n\
             Cookie: a=b\r\n\r\n",
        )
        .await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.line, "GET /a%2Fb?x=1&y=%20 HTTP/1.1");
    assert_eq!(asked.field("host"), Some("shop.example:8080"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    let proto = if wire::TLS { "https" } else { "http" };
    assert_eq!(asked.field("x-forwarded-proto"), Some(proto));
    assert_eq!(asked.field("x-forwarded-host"), Some("shop.example:8080"));
    let port = usher.address().port().to_string();
    assert_eq!(asked.field("x-forwarded-port"), Some(&*port));
    assert_eq!(asked.field("x-audience"), Some("everyone"));
    assert_eq!(asked.field("cookie"), Some("a=b"));
    let id = asked.field("x-request-id").expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let start = asked.field("x-request-start").expect("a start").strip_prefix("t=").expect("t=");
    assert!(start.parse::<u64>().expect("milliseconds") > 1_700_000_000_000);
    let via = if wire::HTTP2 { "2.0 usher-" } else { "1.1 usher-" };
    assert!(asked.field("via").expect("a via").starts_with(via));
    for gone in ["x-secret", "client-ip", "forwarded", "x-usher-route", "connection"] {
        assert_eq!(asked.field(gone), None, "{gone}");
    }
    assert!(asked.fields.iter().all(|(name, _)| !name.contains('_')));
    line.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-Usher-Build: 7\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
    )
    .await;
    let answer = client.answer().await;
    let cookies: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(answer.field("x-usher-build"), None);
    assert!(answer.field("date").is_some());
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn without_an_endpoint_the_answer_says_so_and_when_to_come_again() {
    let origin = Origin::start().await;
    let gone = origin.endpoint();
    drop(origin);
    let usher = Usher::start(&one_pool(&[gone], "")).await;
    let mut client = Client::connect(usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n").await;
    let page = client.answer().await;
    assert_eq!(page.status, 503);
    assert_eq!(page.field("x-usher-fault"), Some("no_endpoint"));
    assert!(page.field("retry-after").is_some());
    assert!(page.text().contains("<h1>Service Unavailable</h1>"));
    let problem = client.get("/").await;
    assert_eq!(problem.field("content-type"), Some("application/problem+json"));
    let problem_json: serde_json::Value = serde_json::from_slice(&problem.body).expect("JSON");
    assert_eq!(problem_json["fault"], "no_endpoint");
    assert_eq!(problem_json["request_id"], problem.field("x-request-id").expect("an id"));
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["fault=\"no_endpoint\""]), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"failed\""]), 2.0);
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over_for_one_that_does_not() {
    let (gone, origin) = (Origin::start().await, Origin::start().await);
    let endpoints = [gone.endpoint(), origin.endpoint()];
    drop(gone);
    origin.serve(|_| ok("here"));
    let usher = Usher::start(&one_pool(&endpoints, "")).await;
    let mut client = Client::connect(usher.address()).await;
    for _ in 0..20 {
        client.send("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.answer().await.text(), "here");
    }
    drop(client);
    let samples = usher.stop().await;
    assert!(samples.sum("usher_retries_total", &["connect_failed"]) > 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"served\""]), 20.0);
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_goes_nowhere() {
    let (origin, usher, mut client) = started("").await;
    for path in ["/a/../admin", "/%2e%2e/admin", "/a%2f..%2fadmin", "/a%00b", "/a\\b"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        client = Client::connect(usher.address()).await;
    }
    client.send(GET).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/", "the first that the origin hears of");
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["audience=\"none\"", "\"400\""]), 5.0);
}

#[tokio::test]
async fn a_request_that_went_round_in_circles_is_a_508() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    let via = line.read().await.field("via").expect("a via").to_owned();
    line.write(ok("")).await;
    client.answer().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (508, Some("loop_detected")));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 usher-another\r\n\r\n").await;
    line.read().await;
    line.write(ok("")).await;
    assert_eq!(client.answer().await.status, 200, "chained ushers work");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn who_is_not_admitted_does_not_fall_through_to_another_audience() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace(
        "audiences: [",
        "audiences: [{ name: admin, pool: rails, match: [{ path: /admin/** }], \
         only: [{ client: 10.0.0.0/8 }] }, ",
    );
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    let answer = client.get("/admin/reports").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (403, Some("not_admitted")));
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["admin", "not_admitted", "client"]), 1.0);
}

#[tokio::test]
async fn a_name_with_an_underscore_is_dropped_and_counted_unless_it_is_allowed() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "") + "underscore_headers: [X_Legacy_Token]\n";
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX_LEGACY_token: 7\r\nX_A: 1\r\nX_B: 2\r\n\r\n").await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("x_legacy_token"), Some("7"));
    assert_eq!(asked.fields.iter().filter(|(name, _)| name.contains('_')).count(), 1);
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    let samples = usher.stop().await;
    let dropped = "usher_request_fields_dropped_total{audience=\"everyone\"}";
    assert_eq!(samples.get(dropped), 2.0);
}

#[tokio::test]
async fn an_https_target_needs_tls_or_a_proxy_that_ended_it() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "");
    origin.serve(|asked| ok(asked.target()));
    let request = "GET https://shop.example/x HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    for (trusted, served) in [("[]", wire::TLS), ("[127.0.0.1/32]", true)] {
        let usher = Usher::start(&format!("{text}trusted_proxies: {trusted}\n")).await;
        let mut client = Client::connect(usher.address()).await;
        client.send(request).await;
        let answer = client.answer().await;
        let told = (answer.status, answer.field("x-usher-fault"));
        assert_eq!(told, if served { (200, None) } else { (400, Some("bad_target")) }, "{trusted}");
        drop(client);
        usher.stop().await;
    }
}
