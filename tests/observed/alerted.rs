//! A pool made slow: somebody is woken and deploys are held; well again, both end. usher, Puma,
//! Prometheus and Alertmanager are real, rules are the generated ones, and an hour of theirs is a
//! minute here.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    prometheus::{Alertmanager, Prometheus, compressed, rules},
    puma::Plan,
    support::{
        binary::{Binary, said},
        client::Client,
        origin::{Origin, ok},
    },
};

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// A minute would do on a quiet machine.
const LONG: Duration = Duration::from_secs(240);

/// Within what the monolith is to answer, and how long it takes when it is slow.
const WITHIN: &str = "300ms";
const SLOW: &str = "/slow?ms=400";
const FAST: &str = "/slow?ms=0";

/// Takes long enough to be spread over several scrapes: a burst between two of them that lie in
/// different windows of Prometheus' `increase` is in neither.
const STEADY: &str = "/slow?ms=50";

/// How many ask at once when the pool is well.
const CROWD: usize = 6;

/// Alerts that have arrived, as Alertmanager posts them.
type Arrived = Arc<Mutex<Vec<Value>>>;

#[tokio::test]
async fn a_slow_pool_wakes_somebody_and_holds_deploys_until_it_has_recovered() {
    let arrived = Arrived::default();
    let alertmanager = Alertmanager::start(&webhook(arrived.clone()).await);
    let prometheus = Prometheus::start(&[NOWHERE], "groups: []\n", &alertmanager.address);
    let puma = Plan::new("rails", 5, 0).env("LOG_LEVEL", "warn").start();
    let usher = Binary::start(&configuration(&puma.address, &prometheus.address)).await;
    let rules = compressed(&rules(&usher.config()));
    prometheus.reload(&[&usher.metrics.to_string()], &rules, &alertmanager.address);
    prometheus.when("usher_slo_events_total == 0", has_samples).await;
    assert_eq!(gate(&usher), 4, "no events yet");

    let mut client = Client::connect(usher.clients).await;
    // An average to compare with, before anything is wrong.
    let steady = async {
        while !has_samples(&prometheus.ask("usher:slo_total:increase_28d > 30")) {
            assert_eq!(client.get(STEADY).await.status, 200);
        }
    };
    tokio::time::timeout(LONG, steady).await.expect("requests are summed up");
    assert_eq!(until("deploys may go", || gate(&usher), |code| *code == 0).await, 0);

    while !is_told(&arrived, "firing") {
        assert_eq!(client.get(SLOW).await.status, 200, "it is slow, and answers");
    }
    // It may go on while Prometheus is asked; the budget is gone already.
    until("deploys are held", || gate(&usher), |code| *code == 3).await;
    let told = arrived.lock().iter().find(|alert| is(alert, "firing")).cloned();
    let labels = told.expect("it has arrived")["labels"].clone();
    assert_eq!(
        (&labels["audience"], &labels["slo"]),
        (&"customer".into(), &"latency-300ms".into())
    );
    let view = shown(&usher);
    assert_eq!((&view["scope"], &view["promises"][0]["slo"]), (&"fleet".into(), &labels["slo"]));
    assert!(view["promises"][0]["budget_left"].as_f64().is_some_and(|left| left < 0.0), "{view}");

    let crowd = Crowd::start(&usher);
    until("it is over", || is_told(&arrived, "resolved"), |told| *told).await;
    until("deploys may go on", || gate(&usher), |code| *code == 0).await;
    crowd.leave();
    agrees(&usher).await;
}

/// One promise about how fast answers begin, judged by Prometheus.
fn configuration(puma: &str, prometheus: &str) -> String {
    format!(
        "access_log: off\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         slo_source: {{ prometheus: \"http://{prometheus}\" }}\n\
         gate: {{ yellow: 20%, red: 15%, frozen: 10%, margin: 2% }}\n\
         audiences:\n\
         - {{ name: customer, pool: rails, \
              slo: {{ latency: {{ within: {WITHIN}, target: 99% }} }} }}\n\
         pools: {{ rails: {{ endpoints: [\"{puma}\"], capacity: 5 }} }}\n"
    )
}

/// Keeps what is posted, and returns where.
async fn webhook(arrived: Arrived) -> String {
    let origin = Origin::start().await;
    let url = format!("http://{}/pages", origin.endpoint());
    origin.serve(move |asked| {
        let group: Value = serde_json::from_slice(&asked.body).expect("JSON");
        arrived.lock().extend(group["alerts"].as_array().into_iter().flatten().cloned());
        ok("")
    });
    url
}

/// Whether `alert` is the page about the budget, in this state.
fn is(alert: &Value, status: &str) -> bool {
    alert["status"] == status && alert["labels"]["alertname"] == "UsherErrorBudgetBurnFast"
}

fn is_told(arrived: &Arrived, status: &str) -> bool {
    arrived.lock().iter().any(|alert| is(alert, status))
}

/// The exit code of `usher gate`.
fn gate(usher: &Binary) -> i32 {
    let output = said(&["gate", "--control", &usher.control.to_string()]);
    output.status.code().expect("an exit code")
}

/// What `usher slo` says, for programs.
fn shown(usher: &Binary) -> Value {
    let output = said(&["slo", "--format", "json", "--control", &usher.control.to_string()]);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Waits until what `look` sees fits.
async fn until<T: std::fmt::Debug>(
    what: &str,
    look: impl Fn() -> T,
    fits: impl Fn(&T) -> bool,
) -> T {
    let reached = async {
        loop {
            let seen = look();
            if fits(&seen) {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(LONG, reached).await {
        Ok(seen) => seen,
        Err(_late) => panic!("never: {what}: {:?}", look()),
    }
}

/// What Prometheus has summed up, and with it `usher slo`, is what this one replica has counted,
/// but for what an increase between scrapes is estimated.
async fn agrees(usher: &Binary) {
    let counts = || {
        let view = shown(usher);
        let count = |whose: &str, result: &str| view[whose][0][result].as_f64().unwrap_or(-1.0);
        ["good", "bad"].map(|result| (count("promises", result), count("replica", result)))
    };
    let close = |(fleet, replica): &(f64, f64)| (fleet - replica).abs() <= 0.1 * replica + 3.0;
    until("they agree", counts, |counts| counts.iter().all(close)).await;
}

/// Customers who ask for what is fast, until they are told to leave.
struct Crowd {
    over: Arc<AtomicBool>,
    /// A thread of their own: who looks at them waits for other processes.
    asking: thread::JoinHandle<()>,
}

// === impl Crowd ===

impl Crowd {
    fn start(usher: &Binary) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (seen, clients) = (over.clone(), usher.clients);
        let asking = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let members: JoinSet<()> =
                    (0..CROWD).map(|_| member(clients, seen.clone())).collect();
                members.join_all().await;
            });
        });
        Self { over, asking }
    }

    fn leave(self) {
        self.over.store(true, Ordering::Relaxed);
        self.asking.join().expect("every answer was good");
    }
}

/// One of them.
async fn member(clients: SocketAddr, over: Arc<AtomicBool>) {
    let mut client = Client::connect(clients).await;
    while !over.load(Ordering::Relaxed) {
        assert_eq!(client.get(FAST).await.status, 200);
    }
}

fn has_samples(answer: &Value) -> bool {
    answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty())
}
