//! GraphQL operations choose the audience, wherever clients say them; bodies arrive as they were
//! sent.

use crate::support::{
    client::{Answer, CLOSE, Client},
    origin::{Asked, Origin, ok},
    usher::{Samples, Usher, one_pool},
    wire,
};

const JSON: &str = "Content-Type: application/json\r\n";
const PLACING: &str = r#"{"operationName":"PlaceOrder","variables":{"note":"ü"}}"#;
const SLOW: &str = "body_timeout";
const OTHERS: &str = r#"{"query":"query Menu { menu { name } }"}"#;

/// Orders go by their operation, and all else to everyone.
fn text(endpoint: String, settings: &str, pool: &str) -> String {
    let orders = "audiences: [{ name: orders, pool: rails, \
                  match: [{ path: /graphql, graphql: { operation: PlaceOrder } }] }, ";
    one_pool(&[endpoint], pool).replace("audiences: [", orders) + settings
}

/// usher in front of an origin that says for whom it was asked, and what body it was sent.
async fn answering(settings: &str, pool: &str) -> Usher {
    let origin = Origin::start().await;
    let usher = Usher::start(&text(origin.endpoint(), settings, pool)).await;
    origin.serve(|asked: &Asked| {
        let audience = asked.field("x-audience").expect("an audience");
        let body = String::from_utf8_lossy(&asked.body);
        // As Rails does.
        let id = asked.field("x-request-id").expect("usher gives one");
        let body = format!("{audience} {}{body}", asked.trailers);
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nX-Request-Id: {id}\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    });
    usher
}

fn post(lines: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /graphql HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}

/// In pieces of so many bytes.
fn chunked(lines: &str, body: &str, size: usize) -> String {
    let pieces = body.as_bytes().chunks(size);
    let pieces = pieces.map(|piece| {
        format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).expect("ASCII"))
    });
    format!(
        "POST /graphql HTTP/1.1\r\nHost: a\r\n{lines}Transfer-Encoding: chunked\r\n\r\n{}0\r\n",
        pieces.collect::<String>()
    )
}

async fn ask(client: &mut Client, request: &str) -> Answer {
    client.send(request).await;
    client.answer().await
}

fn asked_bodies(samples: &Samples, result: &str) -> f64 {
    samples.get(&format!("usher_graphql_bodies_total{{result=\"{result}\"}}"))
}

#[tokio::test]
async fn an_operation_chooses_the_audience_wherever_it_is_said_and_the_body_arrives_as_it_is() {
    let usher = answering("graphql: { body: 2KiB }\n", "").await;
    let mut client = Client::connect(usher.address()).await;
    let large = format!(r#"{{"x":"{}","operationName":"PlaceOrder"}}"#, "x".repeat(4_000));
    let batch = format!("[{PLACING},{PLACING}]");
    let mixed = format!("[{PLACING},{OTHERS}]");
    let document = r#"{"query":"fragment F on T { a }\nmutation PlaceOrder { a }"}"#;
    let name = "X-Apollo-Operation-Name: PlaceOrder\r\n";
    for (lines, body, audience) in [
        (JSON, PLACING, "orders"),
        (JSON, OTHERS, "everyone"),
        (JSON, document, "orders"),
        (JSON, &batch, "orders"),
        (JSON, &mixed, "everyone"),
        (JSON, &large, "everyone"),
        (JSON, "{\"operationName\":\"PlaceOrder\"", "everyone"),
        ("Content-Type: text/plain\r\n", PLACING, "everyone"),
        (&format!("{JSON}Content-Encoding: gzip\r\n"), PLACING, "everyone"),
        (&format!("{JSON}{name}"), OTHERS, "orders"),
        (name, "", "orders"),
    ] {
        let answer = ask(&mut client, &post(lines, body)).await;
        assert_eq!(answer.text(), format!("{audience} {body}"), "{lines} {body}");
    }
    let get = client.get("/graphql?operationName=PlaceOrder").await;
    assert_eq!(get.text(), "orders ");
    client
        .send(format!("POST /other HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: 2\r\n\r\n{{}}"))
        .await;
    assert_eq!(client.answer().await.text(), "everyone {}");
    let samples = usher.stop().await;
    for (result, count) in
        [("found", 4.0), ("mixed", 1.0), ("large", 1.0), ("malformed", 1.0), ("encoded", 1.0)]
    {
        assert_eq!(asked_bodies(&samples, result), count, "{result}");
    }
    assert_eq!(samples.sum("usher_graphql_bodies_total", &[]), 8.0, "no other body was asked");
}

#[tokio::test]
async fn a_body_in_pieces_is_read_as_far_as_it_may_be_and_goes_on_whole() {
    for pool in ["", "    buffer: { request: off }\n"] {
        let usher = answering("graphql: { body: 1KiB }\n", pool).await;
        let mut client = Client::connect(usher.address()).await;
        let placing = PLACING.replace('ü', "u");
        let trailer = "x-sum: 1\r\n";
        let lines = format!("{JSON}Trailer: X-Sum\r\n");
        let large = format!(r#"{{"operationName":"PlaceOrder","x":"{}"}}"#, "x".repeat(300_000));
        for (body, size, audience) in [
            (&placing, 1, "orders"),
            (&placing, 10, "orders"),
            (&placing, 10_000, "orders"),
            (&large, 700, "everyone"),
            (&large, 100_000, "everyone"),
        ] {
            let answer = ask(&mut client, &(chunked(JSON, body, size) + "\r\n")).await;
            assert!(answer.text() == format!("{audience} {body}"), "{pool} {size}");
            let request = chunked(&lines, body, size) + "X-Sum: 1\r\n\r\n";
            let answer = ask(&mut client, &request).await;
            assert!(answer.text() == format!("{audience} {trailer}{body}"), "{pool} {size}");
        }
        let samples = usher.stop().await;
        assert_eq!(asked_bodies(&samples, "large"), 4.0);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_before_it_is_decided() {
    let usher = answering("graphql: { body: 1KiB }\n", "").await;
    let mut client = Client::connect(usher.address()).await;
    let request = post(&format!("{JSON}Expect: 100-continue\r\n"), PLACING);
    let (head, body) = request.split_at(request.len() - PLACING.len());
    client.send(head).await;
    assert_eq!(client.head().await.expect("a head").status, 100);
    client.send(body).await;
    assert_eq!(client.answer().await.text(), format!("orders {PLACING}"));
    usher.stop().await;
}

#[tokio::test]
async fn who_leaves_or_breaks_its_body_before_it_is_decided_is_counted_by_what_its_head_said() {
    let usher = answering("graphql: { body: 64KiB }\nlimits: { body: 2KiB }\n", "").await;
    let left = "usher_faults_total{audience=\"everyone\",pool=\"rails\",fault=\"client_left\",\
                blame=\"client\"}";
    let mut client = Client::connect(usher.address()).await;
    let request = post(JSON, PLACING);
    client.send(&request[..request.len() - 5]).await;
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 1.0).await;
    client.reset();
    usher.reaches(left, 1.0).await;
    let mut broken = vec![(chunked(JSON, &"x".repeat(3_000), 1_000) + "\r\n", "body_too_large")];
    // HTTP/2 cannot say a chunk that is none.
    if !wire::HTTP2 {
        broken.push((chunked(JSON, "x", 1).replace("0\r\n", "no chunk\r\n"), "bad_chunk"));
    }
    for (request, fault) in &broken {
        let mut client = Client::connect(usher.address()).await;
        let answer = ask(&mut client, request).await;
        assert_eq!(answer.field("x-usher-fault"), Some(*fault));
    }
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(ask(&mut client, &request).await.text(), format!("orders {PLACING}"));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"orders\"", "\"200\"", "served"]), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"everyone\"", "\"client_left\""]), 0.0);
    for (_, fault) in &broken {
        assert_eq!(samples.sum("usher_faults_total", &["\"everyone\"", fault]), 1.0, "{fault}");
    }
}

#[tokio::test]
async fn a_slow_body_holds_no_slot_while_it_is_asked() {
    let usher = answering("graphql: { body: 64KiB }\n", "").await;
    let request = post(JSON, PLACING);
    let (begun, rest) = request.split_at(request.len() - 5);
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(usher.address()).await;
        client.send(begun).await;
        slow.push(client);
    }
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 20.0).await;
    assert_eq!(usher.samples().get("usher_pool_in_flight{pool=\"rails\"}"), 0.0);
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(ask(&mut client, &request).await.text(), format!("orders {PLACING}"));
    for client in &mut slow {
        assert_eq!(ask(client, rest).await.text(), format!("orders {PLACING}"));
    }
    drop(slow);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"orders\"", "\"200\""]), 21.0);
}

#[tokio::test]
async fn only_and_promises_may_speak_of_operations_too() {
    let origin = Origin::start().await;
    let everyone = "{ name: everyone, only: [{ graphql: { operation: [A*, B] } }], \
                    slo: { name: a, only: [{ graphql: { operation: A1 } }], availability: 99% }, ";
    let config = one_pool(&[origin.endpoint()], "").replace("{ name: everyone, ", everyone)
        + "graphql: { body: 1KiB, header: [X-Operation, X-Other] }\n";
    let usher = Usher::start(&config).await;
    origin.serve(|_| ok(""));
    let mut client = Client::connect(usher.address()).await;
    for (body, lines, status) in [
        (r#"{"operationName":"A1"}"#, "", 200),
        (r#"{"operationName":"B"}"#, "", 200),
        (r#"{"operationName":"C"}"#, "", 403),
        (r#"{"operationName":"C"}"#, "X-Other: A1\r\n", 200),
        ("{}", "X-Apollo-Operation-Name: B\r\n", 403),
    ] {
        let answer = ask(&mut client, &post(&format!("{JSON}{lines}"), body)).await;
        assert_eq!(answer.status, status, "{body} {lines}");
    }
    let samples = usher.stop().await;
    let good = "usher_slo_events_total{audience=\"everyone\",slo=\"a-availability\",\
                arm=\"stable\",result=\"good\"}";
    assert_eq!(samples.get(good), 2.0);
}

#[tokio::test]
async fn the_access_log_says_what_was_asked_for_where_a_rule_wants_to_know() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let origin = Origin::start().await;
    let config = text(origin.endpoint(), "graphql: { body: 1KiB }\n", "")
        .replace("access_log: off", &format!("access_log: {{ path: {} }}", log.display()));
    let usher = Usher::start(&config).await;
    origin.serve(|_| ok(""));
    let mut client = Client::connect(usher.address()).await;
    ask(&mut client, &post(JSON, PLACING)).await;
    ask(&mut client, &post(JSON, r#"{"id":"a\"b"}"#)).await;
    client.get("/graphql?documentId=sha256:7f").await;
    client.get("/other?operationName=PlaceOrder").await;
    usher.stop().await;
    let lines = std::fs::read_to_string(&log).expect("a log");
    let operations: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|line| line.get("operation").map(|it| it.as_str().expect("text").to_owned()))
        .collect();
    let expected = [Some("PlaceOrder"), Some("a\"b"), Some("sha256:7f"), None];
    assert_eq!(operations, expected.map(|it| it.map(str::to_owned)));
}

/// What `usher why` tells of the request that was answered so.
async fn told(usher: &Usher, answer: &Answer) -> serde_json::Value {
    let id = answer.field("x-request-id").expect("every answer has an id");
    let mut control = Client::plain(usher.addresses.control.expect("a control port")).await;
    let get = format!("GET /api/v1/requests/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    control.send(get).await;
    let view: serde_json::Value =
        serde_json::from_str(control.answer().await.text()).expect("JSON");
    view["requests"][0].clone()
}

/// A body that stalls is refused before any endpoint is asked, with or without gathering.
async fn stalls(pool: &str) {
    let settings = "graphql: { body: 64KiB }\nlimits: { body_rate: 1MiB/s }\n";
    let usher = answering(settings, pool).await;
    let mut client = Client::connect(usher.address()).await;
    let request = post(JSON, PLACING);
    client.send(&request[..request.len() - 5]).await;
    let answer = client.answer().await;
    let fault = answer.field("x-usher-fault");
    assert_eq!((answer.status, fault, answer.field("connection")), (408, Some(SLOW), CLOSE));
    drop(client);
    let samples = usher.stop().await;
    let refused = ["\"everyone\"", "\"408\"", "refused"];
    assert_eq!(samples.sum("usher_faults_total", &["\"everyone\"", SLOW, "\"client\""]), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &refused), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"orders\"", "\"408\""]), 0.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 0.0, "no slot was taken");
    assert_eq!(samples.sum("usher_graphql_bodies_total", &[]), 0.0, "it never said anything");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_408_for_whom_its_head_leads_to_and_reaches_nobody() {
    tokio::join!(stalls(""), stalls("    buffer: { request: off }\n"));
}

#[tokio::test]
async fn what_is_no_plain_json_is_told_apart_by_its_head_alone() {
    let usher = answering("graphql: { body: 64KiB }\n", "").await;
    let mut client = Client::connect(usher.address()).await;
    // As Apollo's clients upload files (the multipart request specification).
    let upload = format!(
        "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{PLACING}\r\n--b\r\n\
         Content-Disposition: form-data; name=\"map\"\r\n\r\n{{\"0\":[\"variables.photo\"]}}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a.jpg\"\r\n\r\nphoto\r\n\
         --b--\r\n"
    );
    let multipart = "Content-Type: multipart/form-data; boundary=b\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let name = "X-Apollo-Operation-Name: PlaceOrder\r\n";
    let gzip = format!("{JSON}Content-Encoding: gzip\r\n");
    let document = "mutation PlaceOrder { a }";
    for (lines, body, audience) in [
        (multipart, upload.as_str(), "everyone"),
        (&format!("{multipart}{name}"), &upload, "orders"),
        (form, "operationName=PlaceOrder", "everyone"),
        ("Content-Type: application/graphql\r\n", document, "everyone"),
        (&format!("{gzip}{name}"), "not looked at", "orders"),
        (&gzip, "not looked at", "everyone"),
        ("Content-Type: Application/JSON ; charset=utf-8\r\n", PLACING, "orders"),
    ] {
        let answer = ask(&mut client, &post(lines, body)).await;
        assert_eq!(answer.text(), format!("{audience} {body}"), "{lines}");
    }
    let samples = usher.stop().await;
    assert_eq!((asked_bodies(&samples, "encoded"), asked_bodies(&samples, "found")), (1.0, 1.0));
    assert_eq!(samples.sum("usher_graphql_bodies_total", &[]), 2.0, "no other body was asked");
}

#[tokio::test]
async fn why_tells_the_operation_as_its_client_said_it_where_a_rule_wanted_to_know() {
    let usher = answering("graphql: { body: 1KiB }\n", "").await;
    let mut client = Client::connect(usher.address()).await;
    let long = "A".repeat(256);
    for (lines, body, operation) in [
        (JSON, PLACING, Some("PlaceOrder")),
        (JSON, r#"{"operationName":"\u001b[31mRed"}"#, None),
        (JSON, "{}", None),
        (&format!("X-Apollo-Operation-Name: {long}\r\n"), "", Some(long.as_str())),
        (&format!("X-Apollo-Operation-Name: {long}A\r\n"), "", None),
    ] {
        let answer = ask(&mut client, &post(lines, body)).await;
        usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
        usher.reaches("usher_requests_in_flight{audience=\"orders\"}", 0.0).await;
        let request = told(&usher, &answer).await;
        assert_eq!(request["operation"].as_str(), operation, "{body} {request}");
    }
    let elsewhere = client.get("/other?operationName=PlaceOrder").await;
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    assert!(told(&usher, &elsewhere).await["operation"].is_null(), "no rule wanted to know");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["PlaceOrder"]), 0.0, "it is no label");
}
