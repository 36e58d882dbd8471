//! Users in files.

use std::fs;

use serde_json::json;

use crate::tokens::{asked, bearer, jwt, of, started};

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
