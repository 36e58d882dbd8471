//! A Puma that dies or freezes hangs nobody, and costs the other audiences nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::task::JoinHandle;

use super::{shop::Shop, visitor::Visitor};
use crate::{
    puma::Puma,
    support::{client::Answer, origin::PATIENCE, usher::Samples},
};

/// Visitors of each audience.
const VISITORS: usize = 3;

/// A load that goes on until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    crowds: Vec<Crowd>,
}

/// All visitors of one audience.
struct Crowd {
    audience: &'static str,
    tally: Arc<Tally>,
    visitors: Vec<JoinHandle<()>>,
}

/// What has happened to a crowd.
#[derive(Default)]
struct Tally {
    /// Answers of the monolith, whole.
    served: AtomicU64,
    /// The process of the last of them.
    process: AtomicU64,
    /// Answers that usher made up, and those that broke off.
    lost: AtomicU64,
    /// The status of the last one made up.
    made_up: AtomicU64,
}

#[tokio::test]
async fn a_puma_that_dies_or_freezes_hangs_nobody_and_costs_no_other_audience_anything() {
    let mut shop = Shop::open("    timeouts: { first_byte: 3s, total: 6s }\n").await;
    let load = Load::start(&shop);
    load.goes_on_except("").await;
    one_of_two_is_killed(&mut shop, &load).await;
    the_only_one_is_killed(&mut shop, &load).await;
    one_of_two_is_frozen(&shop, &load).await;
    load.stop(&["customer", "driver"]).await;
}

async fn one_of_two_is_killed(shop: &mut Shop, load: &Load) {
    shop.pumas[0].kill();
    load.goes_on_except("").await;
    // Only what was under way at that moment may be lost: the next attempt finds the other Puma.
    let lost = load.crowd("customer").lost.load(Ordering::Relaxed);
    assert!(lost <= VISITORS as u64, "{lost} customers were lost");
    shop.pumas[0].restart();
    load.is_served_by("customer", &shop.pumas[0]).await;
    let lost_since = load.crowd("customer").lost.load(Ordering::Relaxed) - lost;
    assert_eq!(lost_since, 0, "a Puma that comes back costs nobody anything");
}

async fn the_only_one_is_killed(shop: &mut Shop, load: &Load) {
    shop.pumas[2].kill();
    load.is_told("driver", 503).await;
    load.goes_on_except("driver").await;
    shop.pumas[2].restart();
    load.is_served_by("driver", &shop.pumas[2]).await;
    load.goes_on_except("").await;
}

async fn one_of_two_is_frozen(shop: &Shop, load: &Load) {
    let retried = |samples: &Samples| samples.sum("usher_retries_total", &["first_byte_timeout"]);
    shop.pumas[1].freeze();
    // Nobody is told: what had waited for it in vain is answered by the other.
    shop.usher.when("requests go elsewhere", |samples| retried(samples) >= 1.0).await;
    load.goes_on_except("").await;
    shop.pumas[1].thaw();
    load.is_served_by("customer", &shop.pumas[1]).await;
}

// === impl Load ===

impl Load {
    fn start(shop: &Shop) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = [
            ("customer", "GET /echo HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
            ("driver", "GET /api/driver/echo HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
            ("restaurant", "GET /restaurant/echo HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
            ("admin", "GET /admin/echo HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.2.3\r\n\r\n"),
        ];
        let crowd = |(audience, request)| {
            let tally = Arc::new(Tally::default());
            let visit = |_| {
                let visitor = Visitor::new(shop.usher.clients);
                tokio::spawn(keep_asking(visitor, audience, request, stop.clone(), tally.clone()))
            };
            let visitors = (0..VISITORS).map(visit).collect();
            Crowd { audience, tally, visitors }
        };
        let crowds = requests.into_iter().map(crowd).collect();
        Self { stop, crowds }
    }

    fn crowd(&self, audience: &str) -> Arc<Tally> {
        let mut crowds = self.crowds.iter();
        crowds.find(|crowd| crowd.audience == audience).expect("a crowd").tally.clone()
    }

    /// Waits until usher makes up an answer of this status for the audience.
    async fn is_told(&self, audience: &str, status: u64) {
        let crowd = self.crowd(audience);
        let told = || crowd.made_up.load(Ordering::Relaxed) == status;
        self.until("they are told", told).await;
    }

    /// Waits until the audience is served by `puma`.
    async fn is_served_by(&self, audience: &str, puma: &Puma) {
        let crowd = self.crowd(audience);
        let served = || crowd.process.load(Ordering::Relaxed) == u64::from(puma.id());
        self.until("they are served by that Puma", served).await;
    }

    /// Waits until every other crowd has been served a good deal more.
    async fn goes_on_except(&self, audience: &str) {
        for crowd in self.crowds.iter().filter(|crowd| crowd.audience != audience) {
            let served = || crowd.tally.served.load(Ordering::Relaxed);
            let enough = served() + 10 * VISITORS as u64;
            self.until("everybody is served", || served() >= enough).await;
        }
    }

    async fn until(&self, what: &str, fits: impl Fn() -> bool) {
        let reached = async {
            while !fits() {
                // A visitor that has panicked says more than that we waited in vain.
                let mut visitors = self.crowds.iter().flat_map(|crowd| &crowd.visitors);
                assert!(!visitors.any(JoinHandle::is_finished), "a visitor gave up");
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "never: {what}");
    }

    /// Stops, and checks that nobody but `hurt` has lost anything.
    async fn stop(self, hurt: &[&str]) {
        self.stop.store(true, Ordering::Relaxed);
        for crowd in self.crowds {
            for visitor in crowd.visitors {
                visitor.await.expect("every answer is as it should be");
            }
            let lost = crowd.tally.lost.load(Ordering::Relaxed);
            assert!(lost == 0 || hurt.contains(&crowd.audience), "{} lost {lost}", crowd.audience);
        }
    }
}

async fn keep_asking(
    mut visitor: Visitor,
    audience: &'static str,
    request: &'static str,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
) {
    while !stop.load(Ordering::Relaxed) {
        let answer = visitor.ask(request).await.expect("an answer");
        tally.enter(audience, &answer);
    }
}

// === impl Tally ===

impl Tally {
    /// An answer is the monolith's own, or made up with a reason; one that had begun when its
    /// Puma died is visibly broken off.
    fn enter(&self, audience: &str, answer: &Answer) {
        if let Some(fault) = answer.field("x-usher-fault") {
            let known = match answer.status {
                502 => fault == "upstream_broke",
                503 => fault == "no_endpoint",
                504 => fault == "first_byte_timeout" || fault == "total_timeout",
                _ => false,
            };
            assert!(known && answer.whole, "{answer:?}");
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.made_up.store(answer.status.into(), Ordering::Relaxed);
            return;
        }
        assert_eq!((answer.status, answer.field("x-pool")), (200, Some(audience)), "{answer:?}");
        if !answer.whole {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let process = answer.field("x-process").and_then(|process| process.parse().ok());
        self.process.store(process.expect("a process"), Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}
