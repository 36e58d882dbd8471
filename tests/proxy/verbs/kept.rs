//! What operators order outlives: a reload, and with a `state_dir` a restart.

use std::fs;

use serde_json::json;

use super::WAITING;
use crate::GET;
use crate::support::{
    client::Client,
    orders::done,
    origin::Origin,
    usher::{Usher, one_pool},
};

#[tokio::test]
async fn verbs_outlive_a_reload_and_with_a_state_dir_a_restart() {
    let (origin, other) = (Origin::start().await, Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let state = directory.path().join("state");
    let text = one_pool(&[origin.endpoint(), other.endpoint()], "")
        + &format!("state_dir: {}\n", state.display());
    fs::write(&path, &text).expect("it can be written");
    let usher = Usher::start_at(&path).await;
    let kept = done(&usher, "pause", json!({ "target": "everyone", "for": "1h" })).await;
    assert_eq!(kept["notes"], json!([]));
    done(&usher, "drain", json!({ "target": origin.endpoint(), "operator": "alice" })).await;
    // The drained endpoint goes from the configuration and comes back, the audience changes.
    let without = text.replace(&format!("{}, ", origin.endpoint()), "");
    for text in [without.replace("name: everyone", "name: everybody"), text] {
        fs::write(&path, &text).expect("it can be written");
        let mut client = Client::plain(usher.addresses.control.expect("a control port")).await;
        client.send("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 200);
        let known: Vec<bool> = usher.remote.status().verbs.iter().map(|verb| verb.known).collect();
        assert_eq!(known, [!text.contains("everybody"); 2], "{known:?}");
    }
    assert_eq!(usher.samples().get("usher_pool_endpoints{pool=\"rails\",state=\"drained\"}"), 1.0);
    usher.stop().await;
    // An origin's port is free for usher to find again: the restart is another process to it.
    let again = Usher::start_at(&path).await;
    let verbs = again.remote.status().verbs;
    let told: Vec<_> = verbs.iter().map(|verb| (verb.verb.as_str(), verb.known)).collect();
    assert_eq!(told, [("pause", true), ("drain", true)]);
    assert!(verbs[0].seconds_left.is_some_and(|left| (3_500..=3_601).contains(&left)));
    assert_eq!(verbs[1].by, "alice (loopback)");
    let mut client = Client::connect(again.address()).await;
    client.send(GET).await;
    again.reaches(WAITING, 1.0).await;
    drop(client);
    again.stop().await;
    // What is torn is moved aside and said; usher starts all the same.
    let file = state.join("verbs.json");
    let whole = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, &whole[..whole.len() / 2]).expect("it can be written");
    let torn = Usher::start_at(&path).await;
    let problems = torn.remote.status().problems;
    assert!(problems.iter().any(|it| it.contains("has been moved to")), "{problems:?}");
    assert!(torn.remote.status().verbs.is_empty());
    torn.stop().await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_in_force_all_the_same_and_says_so() {
    let state = tempfile::tempdir().expect("a directory");
    // Where the file is to stand there is something else.
    fs::create_dir(state.path().join("verbs.json")).expect("it can be made");
    let origin = Origin::start().await;
    let state_dir = state.path().display();
    let text = one_pool(&[origin.endpoint()], "") + &format!("state_dir: {state_dir}\n");
    let usher = Usher::start(&text).await;
    let view = done(&usher, "pause", json!({ "target": "everyone" })).await;
    let note = view["notes"][0].as_str().expect("a note");
    assert!(
        note.starts_with("It does not outlive a restart: operators' verbs cannot be"),
        "{note}"
    );
    assert_eq!(usher.remote.status().verbs.len(), 1);
    let problems = usher.remote.status().problems;
    assert!(problems.iter().any(|it| it.contains("cannot be kept")), "{problems:?}");
    usher.stop().await;
}
