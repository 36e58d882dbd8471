//! Names and pools: one that is found by name from a reload on, and two that meet at an address.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use usher::control::StatusView;

use super::{answered_by, asking, ip, serving, stands_for, web};
use crate::support::{client::Client, names::Names, usher::Usher};

#[tokio::test]
async fn a_pool_that_is_found_by_name_from_a_reload_on_loses_no_request() {
    let (names, port) = (Names::start().await, serving(3).await);
    names.tell("web.shop", &[ip(2), ip(3)]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let write = |endpoint: &str| {
        let beside = path.with_extension("new");
        std::fs::write(&beside, asking(&names, endpoint, "")).expect("it can be written");
        std::fs::rename(&beside, &path).expect("it can be put there");
    };
    let written = format!("\"127.0.0.1:{port}\"");
    write(&written);
    let usher = Usher::start_at(&path).await;
    let stop = Arc::new(AtomicBool::new(false));
    let ask = |_| {
        let (stop, address) = (stop.clone(), usher.address());
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.get("/").await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        })
    };
    let visitors: Vec<_> = (0..4).map(ask).collect();
    // There and back: by name, by address, by name and address.
    let both = format!("{}, {written}", web(port));
    let turns: [(&str, &[&str]); 3] =
        [(&web(port), &["2", "3"]), (&written, &["1"]), (&both, &["1", "2", "3"])];
    for (generation, (endpoints, wanted)) in (2..).zip(turns) {
        write(endpoints);
        usher.reaches("usher_config_generation", f64::from(generation)).await;
        let mut client = Client::connect(usher.address()).await;
        answered_by(&mut client, wanted).await;
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.expect("every answer is a good one");
    }
    assert_eq!(usher.stop().await.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn pools_that_meet_at_an_address_with_other_capacities_have_the_smaller_one() {
    let (names, port) = (Names::start().await, serving(2).await);
    names.tell("web.shop", &[ip(1)]);
    let more = format!("  admin: {{ endpoints: [\"127.0.0.1:{port}\"], capacity: 2 }}\n");
    let text = asking(&names, &web(port), &more);
    let text = text.replace(
        "audiences: [",
        "audiences: [{ name: admin, pool: admin, match: [{ path: /admin/** }] }, ",
    );
    let usher = Usher::start(&text).await;
    stands_for(&usher, &["127.0.0.1".to_owned()]).await;
    let capacities = |status: &StatusView| -> Vec<u64> {
        status.pools.iter().map(|pool| pool.endpoints[0].capacity).collect()
    };
    let said = |status: &StatusView| {
        let address = format!("127.0.0.1:{port}");
        let told = |problem: &&String| problem.contains(&address) && problem.contains("capacity");
        status.problems.iter().filter(told).count()
    };
    let status = usher.remote.status();
    assert_eq!((capacities(&status), said(&status)), (vec![2, 2], 1), "{:?}", status.problems);
    // When they part, each has its own again.
    names.tell("web.shop", &[ip(2)]);
    stands_for(&usher, &["127.0.0.2".to_owned()]).await;
    let status = usher.remote.status();
    assert_eq!((capacities(&status), said(&status)), (vec![5, 2], 0), "{:?}", status.problems);
    names.tell("web.shop", &[ip(1), ip(2)]);
    stands_for(&usher, &["127.0.0.1".to_owned(), "127.0.0.2".to_owned()]).await;
    assert_eq!(capacities(&usher.remote.status()), [2, 2]);
    usher.stop().await;
}
