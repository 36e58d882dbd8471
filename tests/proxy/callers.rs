//! Who is really calling, where proxies say so: by that client rules choose, and the log names it.
//! `rates` tells of its limits.

use std::{fs, path::Path};

use crate::support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

/// An usher that believes the networks `trusted`, and tells what Rails was told, as
/// `audience for`.
async fn started(trusted: &str, log: &Path) -> Usher {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], &format!("trusted_proxies: [{trusted}]\n"))
        .replace("access_log: off", &format!("access_log: {{ path: {} }}", log.display()))
        .replace(
            "audiences: [",
            "audiences: [{ name: office, pool: rails, match: [{ client: 192.0.2.0/24 }] }, ",
        );
    origin.serve(|asked| {
        assert_eq!(asked.field("forwarded"), None, "it is read here and goes no further");
        ok(&["x-audience", "x-forwarded-for"].map(|it| asked.field(it).unwrap_or("-")).join(" "))
    });
    Usher::start(&text).await
}

/// Asks with each of `said`, and finds the audience, the chain and the client of the log.
async fn are_found(trusted: &str, said: &[(&str, &str, &str)]) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let usher = started(trusted, &log).await;
    let mut client = Client::connect(usher.address()).await;
    for (fields, told, _) in said {
        client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n\r\n")).await;
        assert_eq!(client.answer().await.text(), *told, "{fields}");
    }
    drop(client);
    usher.stop().await;
    let lines = fs::read_to_string(&log).expect("a log");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let logged: Vec<_> = lines.iter().map(|line| line["client"].as_str().expect("text")).collect();
    assert_eq!(logged, said.iter().map(|(.., client)| *client).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_client_is_the_first_from_the_right_that_is_no_trusted_proxy() {
    let said = [
        (
            "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.1",
            "office 6.6.6.6, 192.0.2.7, 10.0.0.1, 127.0.0.1",
            "192.0.2.7",
        ),
        // Several lines are one list.
        (
            "X-Forwarded-For: 192.0.2.7, 6.6.6.6\r\nX-Forwarded-For: 10.0.0.1",
            "everyone 192.0.2.7, 6.6.6.6, 10.0.0.1, 127.0.0.1",
            "6.6.6.6",
        ),
        (
            "X-Forwarded-For: [2001:db8::7]:4711",
            "everyone [2001:db8::7]:4711, 127.0.0.1",
            "2001:db8::7",
        ),
        // What is no address says nothing of who stands before it.
        (
            "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.1",
            "everyone 192.0.2.7, unknown, 10.0.0.1, 127.0.0.1",
            "10.0.0.1",
        ),
        (
            "X-Forwarded-For: 10.0.0.2, 10.0.0.1",
            "everyone 10.0.0.2, 10.0.0.1, 127.0.0.1",
            "10.0.0.2",
        ),
        ("X-Nothing: 1", "everyone 127.0.0.1", "127.0.0.1"),
    ];
    are_found("127.0.0.0/8, 10.0.0.0/8", &said).await;
}

#[tokio::test]
async fn forwarded_of_rfc_7239_says_the_same_where_there_is_no_other_word() {
    let said = [
        (
            "Forwarded: for=6.6.6.6, for=192.0.2.7;proto=https, for=10.0.0.1",
            "office 6.6.6.6, 192.0.2.7, 10.0.0.1, 127.0.0.1",
            "192.0.2.7",
        ),
        ("Forwarded: For=\"192.0.2.7:4711\"", "office 192.0.2.7, 127.0.0.1", "192.0.2.7"),
        ("Forwarded: for=\"[2001:db8::7]\"", "everyone 2001:db8::7, 127.0.0.1", "2001:db8::7"),
        (
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6",
            "office 192.0.2.7, 127.0.0.1",
            "192.0.2.7",
        ),
    ];
    are_found("127.0.0.0/8, 10.0.0.0/8", &said).await;
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_speaks_for_nobody_else() {
    let said = [
        ("X-Forwarded-For: 192.0.2.7", "everyone 127.0.0.1", "127.0.0.1"),
        ("Forwarded: for=192.0.2.7", "everyone 127.0.0.1", "127.0.0.1"),
        ("X-Real-IP: 192.0.2.7\r\nClient-IP: 192.0.2.7", "everyone 127.0.0.1", "127.0.0.1"),
    ];
    are_found("10.0.0.0/8", &said).await;
}
