//! A disk that is really full: a file system of one mebibyte, in a mount namespace of usher's own.

use std::{path::Path, process::Command};

use crate::support::{
    binary::{Binary, PORTS},
    client::Client,
    origin::{Origin, ok},
};

/// More than the file system holds; more than usher keeps of a body in memory, and less than it.
const TOO_MUCH: usize = 4 << 20;
const ENOUGH: usize = 512 << 10;

/// usher in front of `endpoint`, keeping bodies on a small file system that is mounted at `place`.
async fn usher(endpoint: &str, place: &Path) -> Binary {
    let text = format!(
        "{PORTS}access_log: off\nworkers: 2\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: all, pool: rails }}]\n\
         pools:\n  rails:\n    capacity: 3\n    endpoints: [{endpoint}]\n    \
         buffer: {{ directory: {} }}\n",
        place.display()
    );
    let binary = Binary::start_by(&text, |program| {
        let mut command = Command::new("unshare");
        let mount = "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\"";
        command.args(["--mount", "sh", "-c", mount]).arg(place).arg(program);
        command
    });
    binary.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"))
}

fn post(bytes: usize) -> Vec<u8> {
    let mut post =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    post.resize(post.len() + bytes, b'x');
    post
}

#[tokio::test]
async fn a_body_that_does_not_fit_on_the_disk_is_refused_and_what_it_took_is_given_back() {
    let origin = Origin::start().await;
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let usher = usher(&origin.endpoint(), place.path()).await;
    origin.serve(|asked| ok(&asked.body.len().to_string()));
    for _ in 0..3 {
        let mut large = Client::connect(usher.clients).await;
        large.send(&post(TOO_MUCH)[..1024]).await;
        // usher answers before it has all of it.
        large.flood(&[b'x'; 1 << 16]).await;
        let refused = large.answer().await;
        assert_eq!((refused.status, refused.field("x-usher-fault")), (503, Some("buffer_full")));
        // There is room again for one that fits, and who brings nothing never noticed.
        let mut other = Client::connect(usher.clients).await;
        other.send(post(ENOUGH)).await;
        assert_eq!(other.answer().await.text(), ENOUGH.to_string());
        assert_eq!(other.get("/").await.status, 200);
    }
    let samples = usher.samples().await;
    assert_eq!(samples.sum("usher_faults_total", &["buffer_full"]), 3.0);
    assert_eq!(samples.sum("usher_buffer_bytes", &["disk"]), 0.0);
    assert!(usher.log().contains("No space left on device"), "{}", usher.log());
}
