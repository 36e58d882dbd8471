//! What operators tell an usher over its control port.

use serde_json::Value;

use super::{
    client::{Answer, Client},
    usher::Usher,
};

/// Gives an order, and returns the status and what it answers.
pub async fn order(usher: &Usher, verb: &str, body: Value) -> (u16, Value) {
    let mut client = Client::plain(usher.addresses.control.expect("a control port")).await;
    let body = body.to_string();
    client
        .send(format!(
            "POST /api/v1/{verb} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let answer = client.answer().await;
    (answer.status, serde_json::from_str(answer.text()).expect("JSON"))
}

/// Gives an order that is carried out.
pub async fn done(usher: &Usher, verb: &str, body: Value) -> Value {
    let (status, view) = order(usher, verb, body).await;
    assert_eq!((status, &view["result"]), (200, &"done".into()), "{view}");
    view
}

/// Has usher read its configuration anew, and returns what it answers.
pub async fn reload(usher: &Usher) -> (Answer, Value) {
    let mut client = Client::plain(usher.addresses.control.expect("a control port")).await;
    client.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = client.answer().await;
    let view = serde_json::from_slice(&answer.body).expect("JSON");
    (answer, view)
}
