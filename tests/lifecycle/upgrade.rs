//! Another binary takes over, or does not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    kit::{Shop, gone, open_socket, part, stopped},
    load::ask,
    support::{
        binary::{Binary, lives, said},
        client::{CLOSE, Client, refused},
        names::{A, Names, Saying},
        origin::{Closed, Origin, PATIENCE, ok},
        usher::Samples,
    },
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A configuration of one pool, without ports.
pub fn config(endpoint: &str) -> String {
    format!(
        "access_log: off\nworkers: 2\n\
         drain: {{ grace: 20s, requests: 10s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

fn served(samples: &Samples) -> f64 {
    samples.sum("usher_requests_total", &["served"])
}

#[tokio::test]
async fn another_process_takes_over_and_nothing_is_lost_or_counted_twice() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let tunnel = open_socket(usher.clients).await;
    let mut kept = Client::connect(usher.clients).await;
    for _ in 0..5 {
        assert_eq!(kept.get("/").await.status, 200);
    }
    let heir = usher.upgrade().expect("the same binary serves");
    assert_ne!(heir, usher.pid());
    // What was open learns that it closes; the grace is for load balancers, and nobody waits here.
    let more = last_word(&mut kept).await;
    part(tunnel).await;
    assert_eq!(usher.readiness().await, 200, "it was never anything else");
    assert_eq!(ask(usher.clients).await.status, 200);
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    // All and a 101 at the old one, one at the new one, each of them once.
    let all = 7 + more;
    let samples = usher.when("all are counted", |samples| served(samples) == all as f64).await;
    assert_eq!(samples.sum("usher_first_byte_seconds_count", &[]), all as f64);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["drained"]), 1.0);
    assert_eq!(samples.sum("usher_tunnels", &[]), 0.0);
    assert_eq!(shop.served(), all - 1, "and each reached the monolith once");
    assert!(lives(heir));
    stopped(heir).await;
    refused(usher.clients).await;
}

/// How many requests are still answered on a connection whose usher leaves: one, and then it
/// closes; or none, where it has been idle for a while, or speaks HTTP/2 and has been told at once.
async fn last_word(client: &mut Client) -> u64 {
    let _ = client.stream.write_all(GET.as_bytes()).await;
    let Some(answer) = client.try_answer(false).await else { return 0 };
    assert_eq!((answer.status, answer.field("connection")), (200, CLOSE));
    assert!(client.closed().await.is_empty());
    1
}

#[tokio::test]
async fn a_request_in_progress_is_finished_by_the_process_that_began_it() {
    let origin = Origin::start().await;
    let mut usher = Binary::start(&config(&origin.endpoint())).await;
    let mut client = Client::connect(usher.clients).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let heir = usher.upgrade().expect("the same binary serves");
    // Others see that it is still in flight, and that it has been, once it is over.
    let in_flight = |samples: &Samples| samples.sum("usher_requests_in_flight", &[]) == 1.0;
    usher.when("it is in flight", in_flight).await;
    line.write(ok("late")).await;
    assert_eq!(client.answer().await.text(), "late");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let over = |samples: &Samples| {
        served(samples) == 1.0 && samples.sum("usher_requests_in_flight", &[]) == 0.0
    };
    usher.when("it has been served", over).await;
    stopped(heir).await;
}

#[tokio::test]
async fn one_upgrade_after_the_other_keeps_every_count_and_every_connection() {
    let shop = Shop::open("shop").await;
    let usher = Binary::start(&config(&shop.address.to_string())).await;
    let mut heir = usher.pid();
    for round in 1..=3_u32 {
        assert_eq!(ask(usher.clients).await.status, 200);
        let before = heir;
        // By a signal too, as an init system does it.
        if round == 2 {
            kill_process(heir, Signal::USR2).expect("it runs");
            gone(before).await;
            heir = newest(&usher);
        } else {
            heir = usher.upgrade().expect("the same binary serves");
            if round > 1 {
                gone(before).await;
            }
        }
        let all = |samples: &Samples| served(samples) == f64::from(round);
        usher.when("every request is counted", all).await;
    }
    let log = usher.log();
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    stopped(heir).await;
}

/// The process that its log names last.
fn newest(usher: &Binary) -> Pid {
    let log = usher.log();
    let line = log.lines().rfind(|line| line.contains("another usher serves now"));
    let pid = line.and_then(|line| line.split("pid=").nth(1)?.split(' ').next()?.parse().ok());
    let pid = pid.and_then(Pid::from_raw).unwrap_or_else(|| panic!("no pid in:\n{log}"));
    usher.will_end(pid);
    pid
}

#[tokio::test]
async fn where_the_new_one_cannot_start_the_old_one_goes_on_and_says_why() {
    let shop = Shop::open("shop").await;
    let usher = Binary::start(&config(&shop.address.to_string())).await;
    let good = fs::read_to_string(usher.config()).expect("it is there");
    let tunnel = open_socket(usher.clients).await;
    let not_upgraded = |log: &str| {
        let control = usher.control.to_string();
        let output = said(&["upgrade", "--control", &control, "--wait", "1s"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("not upgraded: ") && said.contains(log), "{said}");
        assert!(said.ends_with("goes on\n"), "{said}");
    };
    fs::write(usher.config(), good.replace("capacity", "capcity")).expect("it can be written");
    not_upgraded("unknown key `capcity`, did you mean `capacity`?");
    fs::write(usher.config(), &good).expect("it can be written");

    let script = |name: &str, text: &str| {
        let path = usher.directory().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    };
    usher.replace(&script("ends", "exit 7"));
    not_upgraded("the new usher ended before it was ready (exit status: 7)");
    usher.replace(&script("sleeps", "exec sleep 600"));
    not_upgraded("the new usher was not ready within 1s, and was ended");
    usher.replace(&script("talks", "echo '{\"say\":\"nonsense\"}' >&0; exec sleep 600"));
    not_upgraded("what the other process says is not understood");
    usher.replace(Path::new("/nonexistent/usher"));
    not_upgraded("cannot start ");

    assert_eq!(ask(usher.clients).await.status, 200);
    assert_eq!(usher.readiness().await, 200);
    assert_eq!(usher.samples().await.sum("usher_tunnels_closed_total", &[]), 0.0);
    let open = usher.samples().await.get("usher_tunnels{audience=\"everyone\"}");
    assert_eq!(open, 1.0, "nothing has been let go of");
    usher.signal(Signal::TERM);
    usher.signal(Signal::INT);
    drop(tunnel);
}

#[tokio::test]
async fn what_was_told_to_stop_does_not_upgrade_and_what_upgrades_can_be_told_to_stop() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let sleeps = usher.directory().join("sleeps");
    fs::write(&sleeps, "#!/bin/sh\nexec sleep 600\n").expect("it can be written");
    fs::set_permissions(&sleeps, fs::Permissions::from_mode(0o755)).expect("it is ours");
    usher.replace(&sleeps);
    usher.signal(Signal::USR2);
    usher.says("starting the new usher").await;
    assert!(usher.upgrade().expect_err("one at a time").contains("another upgrade is under way"));
    usher.signal(Signal::TERM);
    usher.says("not upgraded: usher is stopping").await;
    assert!(usher.upgrade().expect_err("too late").contains("usher is stopping"));
    usher.signal(Signal::TERM);
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    assert!(TcpStream::connect(usher.clients).await.is_err());
}

#[tokio::test]
async fn what_operators_have_ordered_holds_in_the_process_that_takes_over() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let control = usher.control.to_string();
    let ordered = said(&["maintenance", "everyone", "--for", "1h", "--control", &control]);
    assert_eq!(ordered.status.code(), Some(0), "{ordered:?}");
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let answer = Client::connect(usher.clients).await.get("/").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("maintenance")));
    let status = said(&["status", "--control", &control]);
    let screen = String::from_utf8(status.stdout).expect("text");
    assert!(screen.contains("audience everyone is in maintenance for "), "{screen}");
    stopped(heir).await;
}

/// How the endpoints stand: address, state, since when and why.
fn standings(usher: &Binary) -> Vec<[String; 4]> {
    let control = usher.control.to_string();
    let status = said(&["status", "--format", "json", "--control", &control]);
    let view: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let pools = view["pools"].as_array().expect("pools").iter();
    let endpoints = pools.flat_map(|pool| pool["endpoints"].as_array().expect("endpoints"));
    endpoints.map(|it| ["address", "state", "since", "reason"].map(|k| it[k].to_string())).collect()
}

#[tokio::test]
async fn what_is_known_of_endpoints_is_known_in_the_process_that_takes_over() {
    let (shop, closed, ill) = (Shop::open("shop").await, Closed::bind(), Origin::start().await);
    let checks = Arc::new(AtomicU64::new(0));
    let (checked, up) = (checks.clone(), ill.endpoint());
    // The first check finds it ill; all others do not.
    ill.serve(move |_| match checked.fetch_add(1, Ordering::Relaxed) {
        0 => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => ok("well"),
    });
    let (one, other) = (shop.address, closed.endpoint());
    let text = config("").replace(
        "endpoints: [], capacity: 5",
        &format!("endpoints: [{one}, \"{other}\"], ejection: {{ hold: 1h, hold_max: 2h }}"),
    );
    let text = text.replace(
        "pools: {",
        &format!(
            "pools: {{ ill: {{ endpoints: [\"{up}\"], health: {{ interval: 1h, rise: 3 }} }},"
        ),
    );
    let text = text.replace(
        "[{ name: everyone",
        "[{ name: ill, pool: ill, match: [{ path: /ill }] }, { name: everyone",
    );
    let mut usher = Binary::start(&text).await;
    let unwell = |state: &'static str| {
        move |samples: &Samples| {
            samples.sum("usher_pool_endpoints", &[&format!("state=\"{state}\"")]) == 1.0
        }
    };
    usher.when("a check has failed", unwell("down")).await;
    let mut client = Client::connect(usher.clients).await;
    while !unwell("ejected")(&usher.samples().await) {
        assert_eq!(client.get("/").await.status, 200);
    }
    let before = standings(&usher);
    let heir = usher.upgrade().expect("the same binary serves");
    drop(client);
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    while checks.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(standings(&usher), before, "one good check is not three");
    stopped(heir).await;
}

/// The name that an endpoint of the only pool is found by, as the status shows it.
fn name(usher: &Binary) -> serde_json::Value {
    let control = usher.control.to_string();
    let status = said(&["status", "--format", "json", "--control", &control]);
    let view: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    view["pools"][0]["names"][0].clone()
}

#[tokio::test]
async fn what_a_name_stood_for_counts_where_the_new_process_cannot_resolve_it() {
    let (shop, names) = (Shop::open("shop").await, Names::start().await);
    names.tell("web.shop", &[shop.address.ip()]);
    let text = config(&format!("{{ dns: {{ name: web.shop, port: {} }} }}", shop.address.port()));
    let server = names.address();
    let mut usher = Binary::start(&format!(
        "{text}resolver: {{ servers: [\"{server}\"], timeout: 100ms, attempts: 1, search: [], \
         ttl: {{ min: 10ms, max: 50ms }} }}\n"
    ))
    .await;
    let up = |samples: &Samples| samples.sum("usher_pool_endpoints", &["state=\"up\""]) == 1.0;
    usher.when("the name is known", up).await;
    let mut client = Client::connect(usher.clients).await;
    assert_eq!(client.get("/").await.status, 200);
    drop(client);
    names.say("web.shop", A, Saying::Silence);
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let mut client = Client::connect(usher.clients).await;
    assert_eq!(client.get("/").await.status, 200, "{}", usher.log());
    let view = name(&usher);
    assert_eq!((view["state"].as_str(), view["inherited"].as_bool()), (Some("kept"), Some(true)));
    assert_eq!(view["addresses"][0], shop.address.ip().to_string());
    names.tell("web.shop", &[shop.address.ip()]);
    let found = async {
        loop {
            let lookups = r#"usher_dns_lookups_total{name="web.shop",source="dns",result="found"}"#;
            let before = usher.samples().await.get(lookups);
            usher.when("it is found", |samples| samples.get(lookups) > before).await;
            if name(&usher)["inherited"] == false {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it is asked for again");
    stopped(heir).await;
}

#[tokio::test]
async fn who_waits_in_the_old_process_hears_what_operators_tell_the_new_one() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let control = usher.control.to_string();
    let tell = |arguments: &[&str]| {
        let told = said(&[arguments, &["--control", &control]].concat());
        assert_eq!(told.status.code(), Some(0), "{told:?}");
    };
    tell(&["pause", "everyone", "--wait", "10m"]);
    let waiting = |samples: &Samples| samples.sum("usher_paused_requests", &[]) == 1.0;
    let mut client = Client::connect(usher.clients).await;
    client.send(GET).await;
    usher.when("it waits", waiting).await;
    let heir = usher.upgrade().expect("the same binary serves");
    // Another verb of the new process is no reason to let anybody go on.
    tell(&["drain", &shop.address.to_string(), "--last"]);
    tell(&["undrain", &shop.address.to_string()]);
    assert_eq!(shop.served(), 0);
    tell(&["resume", "everyone"]);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "shop for everyone"));
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    stopped(heir).await;
}
