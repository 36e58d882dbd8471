//! Users in files.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::{
    support::{client::Client, origin::PATIENCE},
    tokens::{asked, bearer, jwt, of, started},
};

/// How many clients ask all the time, and how often the table changes meanwhile.
const CLIENTS: usize = 6;
const CHANGES: usize = 3;

#[tokio::test]
async fn a_user_moves_when_the_table_changes_and_nothing_is_reloaded_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("vip.csv");
    fs::write(&table, "# the few\n42\n43,gold\n").unwrap();
    let audiences = "  - { name: gold, pool: rails, match: \
                         [{ user: { table: vip, value: gold } }] }\n  \
                     - { name: vip, pool: rails, match: [{ user: { table: vip } }] }\n";
    let identity = format!("{}tables: {{ vip: vip.csv }}\n", jwt(""));
    let (usher, mut client) = started(directory.path(), &identity, audiences).await;
    let user = |user: &str| bearer(&of(user, &json!({})));
    assert_eq!(asked(&mut client, "/", &user("42")).await, "vip");
    assert_eq!(asked(&mut client, "/", &user("43")).await, "gold");
    assert_eq!(asked(&mut client, "/", &user("44")).await, "everyone");
    assert_eq!(usher.samples().get("usher_table_lines{table=\"vip\"}"), 2.0);

    // As Kubernetes and careful people do it: a new file in the place of the old one.
    let next = directory.path().join("next");
    fs::write(&next, "43\n44,gold\n45\n").unwrap();
    fs::rename(&next, &table).unwrap();
    usher.reaches("usher_table_lines{table=\"vip\"}", 3.0).await;
    assert_eq!(asked(&mut client, "/", &user("42")).await, "everyone");
    assert_eq!(asked(&mut client, "/", &user("43")).await, "vip");
    assert_eq!(asked(&mut client, "/", &user("44")).await, "gold");

    // A file that is no table changes nothing, and is told.
    fs::write(&table, "44\n,gold\n").unwrap();
    usher.reaches("usher_config_refused", 1.0).await;
    assert_eq!(asked(&mut client, "/", &user("43")).await, "vip");
    fs::write(&table, "44\n").unwrap();
    usher.reaches("usher_table_lines{table=\"vip\"}", 1.0).await;
    assert_eq!(asked(&mut client, "/", &user("43")).await, "everyone");
    assert_eq!(asked(&mut client, "/", &user("44")).await, "vip");
    drop(client);
    let samples = usher.stop().await;
    // Whatever was remembered of tokens stayed: the sources are the same.
    assert_eq!(samples.get("usher_config_generation"), 3.0);
}

#[tokio::test]
async fn under_load_a_user_moves_once_with_each_change_and_no_request_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (table, next) = (directory.path().join("vip.csv"), directory.path().join("next"));
    fs::write(&table, "42\n").unwrap();
    let audiences = "  - { name: vip, pool: rails, match: [{ user: { table: vip } }] }\n";
    let identity = format!("{}tables: {{ vip: vip.csv }}\n", jwt(""));
    let (usher, _client) = started(directory.path(), &identity, audiences).await;
    let proof = bearer(&of("42", &json!({})));
    let done = Arc::new(AtomicBool::new(false));
    // How often each client has seen its user move, and how many answers there were.
    let moved: Arc<Vec<AtomicUsize>> =
        Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
    let answers = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let (done, moved, answers) = (done.clone(), moved.clone(), answers.clone());
        let (proof, address) = (proof.clone(), usher.address());
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut before = "vip".to_owned();
            while !done.load(Ordering::SeqCst) {
                let audience = asked(&mut client, "/", &proof).await;
                assert!(["vip", "everyone"].contains(&audience.as_str()), "{audience}");
                answers.fetch_add(1, Ordering::SeqCst);
                if audience != before {
                    moved[index].fetch_add(1, Ordering::SeqCst);
                    before = audience;
                }
            }
        });
    }
    for change in 1..=CHANGES {
        fs::write(&next, if change % 2 == 1 { "7\n" } else { "42\n" }).unwrap();
        fs::rename(&next, &table).unwrap();
        let all = async {
            while moved.iter().any(|it| it.load(Ordering::SeqCst) < change) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all see it in time");
    }
    done.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.expect("every request was answered by an audience");
    }
    let samples = usher.stop().await;
    let answers = answers.load(Ordering::SeqCst);
    assert!(answers > CLIENTS * CHANGES, "{answers}");
    assert!(moved.iter().all(|it| it.load(Ordering::SeqCst) == CHANGES), "nobody moves back");
    let served = samples.sum("usher_requests_total", &["status=\"200\"", "outcome=\"served\""]);
    assert_eq!(served, answers as f64, "each was served");
    assert_eq!(samples.sum("usher_requests_total", &[]), answers as f64, "and there are no others");
    assert_eq!(samples.get("usher_config_reloads_total{result=\"refused\"}"), 0.0);
}
