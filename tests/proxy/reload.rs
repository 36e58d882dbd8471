//! A configuration that changes while usher runs.

use std::{fs, path::PathBuf};

use crate::{
    GET,
    suite::websocket::opened,
    support::{
        client::Client,
        orders::reload,
        origin::{Closed, Origin, ok},
        usher::{Usher, one_pool},
    },
};

mod doors;

const GENERATION: &str = "usher_config_generation";

/// Whether the file is wrong.
const REFUSED: &str = "usher_config_refused";

/// A configuration in a directory of its own.
struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

// === impl File ===

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("usher.yaml");
        fs::write(&path, text).expect("it can be written");
        Self { _directory: directory, path }
    }

    /// Puts `text` in its place, as an editor or a deploy does: all at once.
    fn write(&self, text: &str) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, text).expect("it can be written");
        fs::rename(&beside, &self.path).expect("it can be renamed");
    }
}

/// The hash of the configuration in use, which metrics and status have alike.
fn hash(usher: &Usher) -> String {
    let (config, samples) = (usher.remote.status().config, usher.samples());
    assert_eq!(samples.get(&format!("usher_config_info{{hash=\"{}\"}}", config.hash)), 1.0);
    assert_eq!(samples.sum("usher_config_info", &[]), 1.0, "and no other");
    config.hash
}

#[tokio::test]
async fn a_changed_file_is_put_to_use_by_itself_and_counters_go_on() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let file = File::new(&one_pool(&[first.endpoint()], ""));
    let (one, two) = (first.endpoint(), second.endpoint());
    first.serve(|_| ok("first"));
    second.serve(|_| ok("second"));
    let usher = Usher::start_at(&file.path).await;
    let mut client = Client::connect(usher.address()).await;
    let mut hashes = vec![hash(&usher)];
    assert_eq!(client.get("/").await.text(), "first");
    file.write(&one_pool(&[two], ""));
    usher.reaches(GENERATION, 2.0).await;
    hashes.push(hash(&usher));
    assert_eq!(client.get("/").await.text(), "second", "on the same connection");
    file.write(&one_pool(&[one], ""));
    usher.reaches(GENERATION, 3.0).await;
    hashes.push(hash(&usher));
    assert!(hashes[0] == hashes[2] && hashes[0] != hashes[1], "{hashes:?}");
    assert_eq!(client.get("/").await.text(), "first");
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 3.0);
    assert_eq!(samples.get("usher_config_reloads_total{result=\"applied\"}"), 2.0);
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_is_told_until_it_is_mended() {
    let origin = Origin::start().await;
    let right = one_pool(&[origin.endpoint()], "");
    let file = File::new(&right);
    origin.serve(|_| ok("here"));
    let usher = Usher::start_at(&file.path).await;
    assert_eq!(usher.samples().get(REFUSED), 0.0);
    file.write(&right.replace("capacity: 5", "capcity: 5"));
    let refused = "usher_config_reloads_total{result=\"refused\"}";
    usher.reaches(refused, 1.0).await;
    let first = usher.remote.status().config.refused.expect("it is wrong");
    assert_eq!(usher.samples().get(REFUSED), 1.0);
    let (answer, view) = reload(&usher).await;
    assert_eq!((answer.status, view["result"].as_str()), (422, Some("refused")));
    let problems = view["problems"].to_string();
    assert!(problems.contains("unknown key `capcity`, did you mean `capacity`?"), "{problems}");
    usher.reaches(refused, 2.0).await;
    let standing = usher.remote.status().config.refused.expect("it is wrong");
    let line = format!("{}:11:5: error: unknown key `capcity`", file.path.display());
    assert!(standing.problems[0].starts_with(&line), "{standing:?}");
    assert_eq!(standing, first, "wrong since the first time");
    assert!(standing.since.parse::<jiff::Timestamp>().is_ok(), "{standing:?}");
    let told = format!("not reloaded since {}: {line}", standing.since);
    let problems = usher.remote.status().problems;
    assert!(problems[0].starts_with(&told), "{problems:?}");
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "here");
    file.write(&right);
    usher.reaches("usher_config_reloads_total{result=\"unchanged\"}", 1.0).await;
    assert_eq!(usher.remote.status().config.refused, None);
    assert_eq!(usher.samples().get(REFUSED), 0.0);
    fs::remove_file(&file.path).expect("it is there");
    usher.reaches(refused, 3.0).await;
    assert_eq!(client.get("/").await.text(), "here");
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.get(GENERATION), 1.0);
}

#[tokio::test]
async fn a_request_goes_on_with_what_it_was_decided_by() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let file = File::new(&one_pool(&[first.endpoint()], ""));
    let usher = Usher::start_at(&file.path).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = first.accept().await;
    line.read().await;
    file.write(&one_pool(&[second.endpoint()], "").replace("everyone", "somebody"));
    // Whichever comes first puts it to use: this, or usher's own look at the file.
    assert_eq!(reload(&usher).await.0.status, 200);
    usher.reaches(GENERATION, 2.0).await;
    line.write(ok("first")).await;
    assert_eq!(client.answer().await.text(), "first");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"somebody\""]), 0.0);
}

#[tokio::test]
async fn no_request_is_lost_while_the_configuration_changes_again_and_again() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let texts = [one_pool(&[first.endpoint()], ""), one_pool(&[second.endpoint()], "")];
    let file = File::new(&texts[0]);
    first.serve(|asked| ok(asked.target()));
    second.serve(|asked| ok(asked.target()));
    let usher = Usher::start_at(&file.path).await;
    let address = usher.address();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut line = Client::connect(address).await;
                let mut sent = 0;
                while !*stopped.borrow() || sent == 0 {
                    let target = format!("/{client}/{sent}");
                    assert_eq!(line.get(&target).await.text(), target);
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for round in 1..=30 {
        match round % 3 {
            0 => file.write("audiences: nonsense"),
            _ => file.write(&texts[round % 2]),
        }
        reload(&usher).await;
    }
    stop.send(true).expect("they listen");
    let mut sent = 0;
    for client in clients {
        sent += client.await.expect("no request is lost");
    }
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"200\"", "served"]), f64::from(sent));
    assert!(samples.get("usher_config_reloads_total{result=\"refused\"}") >= 10.0);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_have_usher_reload() {
    let origin = Origin::start().await;
    let file = File::new(&one_pool(&[origin.endpoint()], ""));
    let usher = Usher::start_at(&file.path).await;
    for field in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Origin: null"] {
        let mut client = Client::plain(usher.addresses.control.expect("a control port")).await;
        let request = format!("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n");
        client.send(request).await;
        assert_eq!(client.answer().await.status, 403, "{field}");
    }
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_config_reloads_total", &[]), 0.0);
}

/// Each snapshot has a tag: its audience and its endpoint bear the same name, and a request that
/// saw half of one and half of the other would reach an endpoint under another's name.
#[tokio::test]
async fn no_request_sees_half_of_one_configuration_and_half_of_another() {
    let names = ["first", "second"];
    let mut texts = Vec::new();
    for name in names {
        let origin = Origin::start().await;
        let text = one_pool(&[origin.endpoint()], "");
        origin.serve(move |asked| {
            ok(&format!("{name} for {}", asked.field("x-audience").unwrap_or("nobody")))
        });
        texts.push(text.replace("everyone", name));
    }
    let file = File::new(&texts[0]);
    let usher = Usher::start_at(&file.path).await;
    let address = usher.address();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut line = Client::connect(address).await;
                let mut seen = std::collections::BTreeMap::new();
                while !*stopped.borrow() || seen.len() < 2 {
                    let answer = line.get("/").await;
                    *seen.entry(answer.text().to_owned()).or_insert(0) += 1;
                }
                seen
            })
        })
        .collect();
    let mut round = 0;
    while round < 60 || !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        round += 1;
        file.write(&texts[round % 2]);
        reload(&usher).await;
        if round == 60 {
            stop.send(true).expect("they listen");
        }
    }
    for client in clients {
        let seen = client.await.expect("no request is lost");
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["first for first", "second for second"]);
    }
    usher.stop().await;
}

/// How the endpoint at `address` stands in the status.
fn standing(usher: &Usher, address: &str) -> (String, Option<String>) {
    let status = usher.remote.status();
    let mut endpoints = status.pools.iter().flat_map(|pool| &pool.endpoints);
    let endpoint = endpoints.find(|endpoint| endpoint.address == address).expect("it is there");
    (endpoint.state.to_string(), endpoint.since.clone())
}

/// One endpoint whose only slot is held, somebody who waits for it, a tunnel, and an endpoint that
/// is ejected: none of them notices that the audience is another one and the pool has other
/// timeouts, and neither does anybody who counts.
#[tokio::test]
async fn what_did_not_change_is_carried_over_with_all_that_is_known_of_it() {
    let (origin, well, closed) = (Origin::start().await, Origin::start().await, Closed::bind());
    let (dead, ejection) =
        (closed.endpoint(), "ejection: { hold: 10m, hold_max: 10m }, balance: round_robin");
    let queue = "    queue: { wait: 20s }\n    timeouts: { total: 20s }\n";
    let pair = format!(
        "  pair: {{ endpoints: [{dead}, {}], capacity: 5, {ejection} }}\n",
        well.endpoint()
    );
    well.serve(|_| ok("well"));
    let text = one_pool(&[origin.endpoint()], queue).replace("capacity: 5", "capacity: 1").replace(
        "audiences: [",
        "audiences: [{ name: pair, pool: pair, match: [{ path: /pair }] }, ",
    );
    let text = text + &pair;
    let file = File::new(&text);
    let usher = Usher::start_at(&file.path).await;
    let mut client = Client::connect(usher.address()).await;
    while standing(&usher, &dead).0 != "ejected" {
        assert_eq!(client.get("/pair").await.text(), "well");
    }
    let ejected = standing(&usher, &dead);
    drop(client);
    let (mut tunnel, mut cable) = opened(&origin, &usher).await;
    let mut first = Client::connect(usher.address()).await;
    first.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let mut second = Client::connect(usher.address()).await;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let queued = "usher_pool_queue_length{pool=\"rails\"}";
    usher.reaches(queued, 1.0).await;
    let changed = text.replace("everyone", "somebody").replace("total: 20s", "total: 30s");
    file.write(&changed);
    reload(&usher).await;
    usher.reaches(GENERATION, 2.0).await;
    assert_eq!(standing(&usher, &dead), ejected);
    let samples = usher.samples();
    assert_eq!(samples.get(queued), 1.0);
    assert_eq!(samples.get("usher_pool_in_flight{pool=\"rails\"}"), 1.0);
    assert_eq!(samples.sum("usher_tunnels", &[]), 1.0);
    tunnel.send("still here").await;
    assert_eq!(cable.read_exactly(10).await.expect("bytes"), b"still here");
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    assert_eq!(line.read().await.target(), "/second", "on the same connection");
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    drop((tunnel, cable, line, first, second));
    let samples = usher.stop().await;
    // Those for the audience that has gone are told no more once its last request has ended; those
    // of its pool are: a lease for the tunnel, and one for each request.
    assert_eq!(samples.sum("usher_upstream_seconds_count", &["pool=\"rails\""]), 3.0);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
}

/// It is read by a thread that waits for a core to spare, or once that has taken too long by one
/// that does not.
#[tokio::test]
async fn a_large_file_is_put_to_use_as_well_and_a_wrong_one_is_not() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let large = format!("# {}\n", "-".repeat(98)).repeat(1_000);
    let texts = [&first, &second].map(|origin| large.clone() + &one_pool(&[origin.endpoint()], ""));
    let file = File::new(&texts[0]);
    first.serve(|_| ok("first"));
    second.serve(|_| ok("second"));
    let usher = Usher::start_at(&file.path).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/").await.text(), "first");
    file.write(&texts[1]);
    reload(&usher).await;
    usher.reaches(GENERATION, 2.0).await;
    assert_eq!(client.get("/").await.text(), "second");
    file.write(&texts[0].replace("capacity", "capcity"));
    let (answer, view) = reload(&usher).await;
    assert_eq!(answer.status, 422, "{view}");
    assert!(view["problems"].to_string().contains(":1011:5: error: unknown key"), "{view}");
    assert_eq!(client.get("/").await.text(), "second");
    drop(client);
    usher.stop().await;
}
