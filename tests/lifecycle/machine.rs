//! What takes rights or programs that `tests/run` sees to: a mount, a container's first process,
//! the manager of services itself. They are no part of a build without the feature `real`.
//!
//! Transport: HTTP/1.1 in plain text, of which is only asked whether it is answered.

use std::process::{Command, Stdio};

use crate::{
    kit::Shop,
    signals::config,
    support::{
        binary::{Binary, PORTS, said},
        client::Client,
    },
};

/// Mounts the configuration on itself, in a view of its own, as Kubernetes mounts a `subPath`.
const MOUNT: &str = r#"mount --bind "$CONFIG" "$CONFIG" && exec "$0" "$@""#;

#[tokio::test]
async fn a_file_that_is_mounted_by_itself_is_warned_of() {
    let shop = Shop::open("shop").await;
    let endpoint = shop.address.to_string();
    let text = format!("{}{}", PORTS, config("", &endpoint));
    let started = Binary::start_by(&text, |program| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", MOUNT]).arg(program).stdin(Stdio::null());
        command.env("CONFIG", program.with_file_name("usher.yaml"));
        command
    });
    let usher = started.await.expect("it starts");
    usher.says("usher.yaml: warning: this file is mounted by itself").await;
    let status = said(&["status", "--format", "json", "--control", &usher.control.to_string()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("this file is mounted by itself"), "{status}");
}

/// usher as the first process that there is, as in a container.
#[tokio::test]
async fn the_first_process_of_a_container_does_not_hand_over_and_says_why() {
    let shop = Shop::open("shop").await;
    let text = format!("{PORTS}{}", config("", &shop.address.to_string()));
    let started = Binary::start_by(&text, |program| {
        let mut command = Command::new("unshare");
        // It ends with the process that this has started.
        command.args(["--pid", "--fork", "--kill-child"]).arg(program).stdin(Stdio::null());
        command
    });
    let usher = started.await.expect("it starts");
    let refused = usher.upgrade().expect_err("the container would end");
    assert!(refused.contains("container"), "{refused}");
    usher.says("container").await;
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
}

#[test]
fn systemd_understands_the_units() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd");
    let directory = tempfile::tempdir().expect("a directory");
    for unit in ["usher.service", "usher.socket"] {
        let text = std::fs::read_to_string(format!("{folder}/{unit}")).expect("it is there");
        // The binary need not be installed here.
        let text = text.replace("/usr/local/bin/usher", env!("CARGO_BIN_EXE_usher"));
        std::fs::write(directory.path().join(unit), text).expect("it can be written");
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(["usher.service", "usher.socket"].map(|unit| directory.path().join(unit)))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("usher.")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}
