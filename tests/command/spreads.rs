//! Connections are spread evenly over workers: what the kernel says of the real binary.
//!
//! A worker has a poller of its own. `/proc/PID/fdinfo` lists what each poller watches, and
//! `/proc/net/tcp` which client's connection that is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::support::{binary::Binary, client::Client, origin::PATIENCE};

/// The clients' ports that one poller watches.
type Watched = BTreeSet<u16>;

#[tokio::test]
async fn each_worker_has_as_many_connections_as_any_other_whoever_leaves() {
    let usher = Binary::start(
        "workers: 2\naudiences: [{ name: all, pool: web }]\n\
         pools: { web: { endpoints: [127.0.0.1:1], capacity: 5 } }\n",
    )
    .await;
    let mut clients = connect(&usher, 64).await;
    let before = until(&usher, &[32, 32]).await;

    // All of one worker's clients leave; those who come next are its own.
    clients.retain(|port, _| !before[0].contains(port));
    until(&usher, &[32]).await;
    clients.extend(connect(&usher, 20).await);
    let after = until(&usher, &[20, 32]).await;
    assert_eq!(after[1], before[1], "no connection ever changes its worker");
    clients.extend(connect(&usher, 30).await);
    until(&usher, &[41, 41]).await;
}

/// New connections, by their port.
async fn connect(usher: &Binary, count: usize) -> BTreeMap<u16, Client> {
    let mut clients = BTreeMap::new();
    for _ in 0..count {
        let client = Client::connect(usher.clients).await;
        let port = client.stream.local_addr().expect("it is connected").port();
        clients.insert(port, client);
    }
    clients
}

/// Waits until the pollers that watch clients watch so many, and returns whom, fewest first.
async fn until(usher: &Binary, counts: &[usize]) -> Vec<Watched> {
    let reached = async {
        loop {
            let pollers = pollers(usher);
            if pollers.iter().map(BTreeSet::len).eq(counts.iter().copied()) {
                return pollers;
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(pollers) => pollers,
        Err(_late) => panic!("never {counts:?}: {:?}", pollers(usher)),
    }
}

/// Whom each poller watches that watches any client, fewest first.
fn pollers(usher: &Binary) -> Vec<Watched> {
    let process = format!("/proc/{}", usher.pid().as_raw_nonzero());
    let clients = clients(usher, &process);
    let mut pollers = BTreeSet::new();
    for (descriptor, target) in descriptors(&process) {
        if target != "anon_inode:[eventpoll]" {
            continue;
        }
        let path = format!("{process}/fdinfo/{descriptor}");
        let info = fs::read_to_string(path).unwrap_or_default();
        let watched = info.lines().filter_map(|line| {
            let descriptor = line.strip_prefix("tfd:")?.split_whitespace().next()?;
            clients.get(descriptor).copied()
        });
        // A poller may have several descriptors; what it watches is the same.
        pollers.insert(watched.collect::<Watched>());
    }
    let mut pollers: Vec<Watched> = pollers.into_iter().filter(|it| !it.is_empty()).collect();
    pollers.sort_by_key(BTreeSet::len);
    pollers
}

/// The port of the client at the other end, by descriptor.
fn clients(usher: &Binary, process: &str) -> BTreeMap<String, u16> {
    let local = format!("0100007F:{:04X}", usher.clients.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let by_socket: BTreeMap<String, u16> = table
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (_, port) = columns[2].split_once(':').filter(|_| columns[1] == local)?;
            let socket = format!("socket:[{}]", columns[9]);
            Some((socket, u16::from_str_radix(port, 16).ok().filter(|port| *port > 0)?))
        })
        .collect();
    descriptors(process)
        .into_iter()
        .filter_map(|(descriptor, target)| Some((descriptor, *by_socket.get(&target)?)))
        .collect()
}

/// What a process has open.
fn descriptors(process: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(format!("{process}/fd")).expect("the process runs");
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().into_string().ok()?, target.to_str()?.to_owned()))
        })
        .collect()
}
