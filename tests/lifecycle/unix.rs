//! Unix sockets when another binary takes over.
//!
//! Transport: HTTP/1.1 in plain text; sockets are handed on whatever is spoken on them.

use std::{fs, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    kit::{Shop, stopped},
    support::binary::{Binary, PORTS},
    upgrade::config,
};

/// The beginning of what is answered at the Unix socket of this path; of how connecting fails.
pub async fn over_unix(path: &Path) -> String {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => return error.kind().to_string(),
    };
    let asked = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    stream.write_all(asked).await.expect("usher reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.chars().take(12).collect()
}

#[tokio::test]
async fn unix_sockets_pass_to_the_successor_which_takes_their_files_away_in_the_end() {
    let shop = Shop::open("shop").await;
    let directory = tempfile::tempdir().expect("a directory");
    let [kept, dropped] = ["kept.sock", "dropped.sock"].map(|it| directory.path().join(it));
    let listeners = format!(
        "[{{ bind: 127.0.0.1:0 }}, {{ bind: \"unix:{}\", mode: 0600 }}, {{ bind: \"unix:{}\" }}]",
        kept.display(),
        dropped.display()
    );
    let ports = PORTS.replace("[{ bind: 127.0.0.1:0 }]", &listeners);
    let text = format!("{ports}{}", config(&shop.address.to_string()));
    let mut usher = Binary::start_whole(&text).await;
    assert_eq!(over_unix(&kept).await, "HTTP/1.1 200");
    // One that cannot start changes nothing, and takes nothing away.
    fs::write(usher.config(), "nonsense").expect("it can be written");
    usher.upgrade().expect_err("it cannot start");
    assert_eq!(over_unix(&kept).await, "HTTP/1.1 200");
    fs::write(usher.config(), &text).expect("it can be written");
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(over_unix(&kept).await, "HTTP/1.1 200");
    assert_eq!(over_unix(&dropped).await, "HTTP/1.1 200");
    stopped(heir).await;
    assert_eq!(over_unix(&kept).await, "entity not found");
    assert_eq!(over_unix(&dropped).await, "entity not found");
}
