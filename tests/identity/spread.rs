//! The same endpoint for the same user.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    support::{
        client::Client,
        origin::{Origin, ok},
        usher::Usher,
    },
    tokens::{asked, bearer, jwt, of, text},
};

#[tokio::test]
async fn a_user_stays_with_an_endpoint_and_a_device_where_there_is_no_user() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (Origin::start().await, Origin::start().await);
    let config = text(directory.path(), &jwt(""), "", &one).replace(
        &format!("endpoints: [{}]", one.endpoint()),
        &format!(
            "endpoints: [{}, {}], balance: hash user or header X-Device",
            one.endpoint(),
            other.endpoint()
        ),
    );
    let path = directory.path().join("usher.yaml");
    std::fs::write(&path, config).unwrap();
    one.serve(|_| ok("one"));
    other.serve(|_| ok("other"));
    let usher = Usher::start_at(&path).await;
    let mut met = BTreeSet::new();
    for who in 0..32 {
        let by_user = bearer(&of(&who.to_string(), &json!({})));
        let by_device = format!("X-Device: d{who}\r\n");
        for field in [by_user, by_device] {
            let mut told = BTreeSet::new();
            for device in ["", "X-App: 1\r\n"] {
                let mut client = Client::connect(usher.address()).await;
                told.insert(asked(&mut client, "/", &format!("{device}{field}")).await);
            }
            assert_eq!(told.len(), 1, "{who}: {told:?}");
            met.extend(told);
        }
    }
    assert_eq!(met.len(), 2, "users are spread over the endpoints");
    usher.stop().await;
}
