//! Signals at every moment, and reloads that meet each other, a drain or a missing file.
//!
//! Transport: HTTP/1.1 in plain text, of which is only asked whether it is answered; how those who
//! speak something else are told that usher leaves stands in `proxy` and `http2`.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::{
    kit::{Shop, open_socket},
    support::{
        binary::{Binary, said},
        client::{Client, refused},
        origin::Origin,
        usher::Samples,
        wire::Wire,
    },
};

pub fn config(more: &str, endpoint: &str) -> String {
    format!(
        "access_log: off\nworkers: 1\n{more}\
         drain: {{ grace: 20s, requests: 10s, tunnels: 2s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

fn reload(usher: &Binary) -> (Option<i32>, String) {
    let output = said(&["reload", "--control", &usher.control.to_string()]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Every signal is sent at the moment when the process has just been started, in many a moment of
/// its start; none of those that have a meaning ends it.
#[tokio::test]
async fn signals_that_come_while_usher_starts_do_not_end_it_and_term_stops_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let ports = crate::support::binary::PORTS;
    // Some are ready by the time the signal comes, and load balancers need no time here.
    let text = config("", "127.0.0.1:1").replace("grace: 20s", "grace: 0s");
    fs::write(&path, format!("{ports}{text}")).expect("it can be written");
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().cycle().take(20).enumerate() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command.args(["run", "--config"]).arg(&path).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("runs");
        let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process id");
        // It watches signals once it catches TERM; what has been sent before ends any process.
        let status = format!("/proc/{}/status", child.id());
        let watches = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
            // TERM is 15, USR2 12: both are watched by then.
            caught.is_some_and(|caught| caught >> 14 & 1 == 1 && caught >> 11 & 1 == 1)
        };
        while !watches(&fs::read_to_string(&status).expect("it runs")) {
            tokio::task::yield_now().await;
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2, signal] {
            rustix::process::kill_process(pid, signal).expect("it runs");
        }
        let output = child.wait_with_output().expect("it is ours to wait for");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "round {round}:\n{log}");
        assert!(log.ends_with("stopped\n"), "{log}");
    }
}

/// Sends it a HUP as soon as it would not end by one: about when it reads its configuration.
const HUNG_UP: &str = r#"(until grep -q "^SigCgt:.*[13579bdf]\$" /proc/$$/status; do :; done
    kill -HUP $$) & exec "$0" "$@""#;

#[tokio::test]
async fn a_reload_that_is_asked_for_while_usher_starts_comes_when_it_can_be_obeyed() {
    let shop = Shop::open("shop").await;
    let text = config("", &shop.address.to_string());
    let text = format!("{}{text}", crate::support::binary::PORTS);
    let started = Binary::start_by(&text, |program| {
        let mut command = Command::new("sh");
        command.args(["-c", HUNG_UP]).arg(program).stdin(Stdio::null());
        command
    });
    let usher = started.await.expect("it starts");
    let counted = "usher_config_reloads_total{result=\"unchanged\"}";
    usher.when("the reload is counted", |samples| samples.get(counted) == 1.0).await;
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
}

/// For how long it accepts is looked at from without: whoever load balancers have not turned away
/// yet is served, and nobody is told to go elsewhere before it is over.
#[tokio::test]
async fn load_balancers_have_the_grace_to_notice_that_usher_is_not_ready() {
    let shop = Shop::open("shop").await;
    // A machine that stands still for as long as it lasts shows nothing; then it is longer.
    for grace in [1, 4, 16].map(Duration::from_secs) {
        let written = format!("grace: {}s", grace.as_secs());
        let text = config("", &shop.address.to_string()).replace("grace: 20s", &written);
        let mut usher = Binary::start(&text).await;
        // It keeps usher from having nothing left to wait for.
        let _socket = open_socket(usher.clients).await;
        let since = Instant::now();
        usher.signal(Signal::TERM);
        while usher.readiness().await != 503 {
            tokio::task::yield_now().await;
        }
        let served = served_anew(&usher).await;
        usher.says(NOT_ACCEPTED).await;
        assert!(since.elapsed() >= grace, "{grace:?} has to pass");
        refused(usher.clients).await;
        assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
        if served {
            return;
        }
    }
    panic!("nobody is served between not being ready and the end of the grace");
}

/// What usher says when its grace is over.
const NOT_ACCEPTED: &str = "nothing is accepted any more";

/// Whether somebody who comes now is served before the grace is over.
async fn served_anew(usher: &Binary) -> bool {
    let Ok(socket) = TcpStream::connect(usher.clients).await else { return false };
    let mut client = Client::on(Wire::on(socket).await.expect("it is plain"));
    let answer = client.get("/").await;
    assert_eq!(answer.status, 200);
    answer.field("connection").is_none() && !usher.log().contains(NOT_ACCEPTED)
}

#[tokio::test]
async fn two_reloads_at_once_are_one_after_the_other_and_both_are_answered() {
    let shop = Shop::open("shop").await;
    let usher = Binary::start(&config("", &shop.address.to_string())).await;
    for round in 0..5 {
        let text = fs::read_to_string(usher.config()).expect("it is there");
        let changed = format!("{text}# round {round}\n").replace("capacity: 5", "capacity: 6");
        fs::write(usher.config(), changed).expect("it can be written");
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
                command.args(["reload", "--control", &usher.control.to_string()]);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
            })
            .collect();
        usher.signal(Signal::HUP);
        for mut asked in asked {
            assert_eq!(asked.wait().expect("it is ours to wait for").code(), Some(0));
        }
    }
    let all = |samples: &Samples| {
        let reloads = |result| samples.sum("usher_config_reloads_total", &[result]);
        reloads("refused") == 0.0 && reloads("applied") + reloads("unchanged") >= 21.0
    };
    let samples = usher.when("all reloads are counted", all).await;
    assert_eq!(samples.get("usher_config_generation"), 2.0, "the comment changes nothing");
    let applied = samples.sum("usher_config_reloads_total", &["applied"]);
    assert_eq!(applied, 1.0, "one found the change, and the others what that one had made of it");
}

#[tokio::test]
async fn a_reload_while_usher_stops_is_refused_and_says_so() {
    let origin = Origin::start().await;
    let mut usher = Binary::start(&config("", &origin.endpoint())).await;
    let mut client = Client::connect(usher.clients).await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.signal(Signal::TERM);
    usher.says("stopping: not ready any more").await;
    let text = fs::read_to_string(usher.config()).expect("it is there");
    fs::write(usher.config(), text.replace("capacity: 5", "capacity: 7")).expect("written");
    let (code, stderr) = reload(&usher);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("is stopping, and ends with the configuration it has"), "{stderr}");
    assert_eq!(usher.samples().await.get("usher_config_generation"), 1.0);
    usher.signal(Signal::TERM);
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
}

/// The acceptor waits for room, so that they are still with the system when the TERM comes.
#[tokio::test]
async fn connections_that_the_system_has_queued_when_accepting_ends_are_served() {
    let shop = Shop::open("shop").await;
    let text = config("limits: { connections: 1 }\n", &shop.address.to_string());
    let mut usher = Binary::start(&text.replace("grace: 20s", "grace: 0s")).await;
    let mut first = Client::connect(usher.clients).await;
    assert_eq!(first.get("/").await.status, 200);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(usher.clients).await;
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        clients.push(client);
    }
    usher.signal(Signal::TERM);
    for client in &mut clients {
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
    }
    drop(first);
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    assert_eq!(shop.served(), 21);
    refused(usher.clients).await;
}

#[tokio::test]
async fn a_file_that_vanishes_changes_nothing_and_one_that_comes_back_is_read() {
    let shop = Shop::open("shop").await;
    let usher = Binary::start(&config("", &shop.address.to_string())).await;
    let text = fs::read_to_string(usher.config()).expect("it is there");
    fs::remove_file(usher.config()).expect("it is there");
    let (code, stderr) = reload(&usher);
    assert_eq!(code, Some(2));
    let name = usher.config().display().to_string();
    assert!(stderr.contains(&name) && stderr.contains("No such file or directory"), "{stderr}");
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
    let status = said(&["status", "--format", "json", "--control", &usher.control.to_string()]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("not reloaded since") && status.contains("No such file"), "{status}");
    fs::write(usher.config(), text.replace("capacity: 5", "capacity: 7")).expect("written");
    let back = |samples: &Samples| samples.get("usher_config_generation") == 2.0;
    usher.when("it is read by itself", back).await;
}

#[tokio::test]
async fn a_directory_without_permission_changes_nothing_and_names_itself() {
    let shop = Shop::open("shop").await;
    let parts = tempfile::tempdir().expect("a directory");
    let include = format!("include: [ \"{}/*.yaml\" ]\n", parts.path().display());
    let text =
        format!("{}{}", crate::support::binary::PORTS, config(&include, &shop.address.to_string()));
    // Root may read everything; whoever it lends its name to may not.
    let root = rustix::process::geteuid().is_root();
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("usher");
    fs::copy(env!("CARGO_BIN_EXE_usher"), &copy).expect("a copy");
    readable(directory.path());
    let usher = Binary::start_by(&text, |program| {
        readable(program.parent().expect("a directory"));
        let mut command = Command::new(&copy);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    });
    readable(parts.path());
    let usher = usher.await.expect("it starts");
    fs::set_permissions(parts.path(), permissions(0o000)).expect("it is ours");
    let (code, stderr) = reload(&usher);
    fs::set_permissions(parts.path(), permissions(0o755)).expect("it is ours");
    assert_eq!(code, Some(2), "{stderr}");
    let name = parts.path().display().to_string();
    assert!(stderr.contains(&name) && stderr.contains("Permission denied"), "{stderr}");
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
    assert_eq!(reload(&usher), (Some(0), String::new()));
}

/// Who has no rights of its own anywhere.
const NOBODY: u32 = 65534;

fn permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

fn readable(directory: &std::path::Path) {
    fs::set_permissions(directory, permissions(0o755)).expect("it is ours");
}
