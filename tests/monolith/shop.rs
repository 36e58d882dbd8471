//! The food-delivery shop: five Pumas in four pools, and usher in front of them.

use std::thread;

use crate::{
    puma::{Plan, Puma},
    support::binary::Binary,
};

/// The pools of the five Pumas, in the order of [`Shop::pumas`].
const POOLS: [&str; 5] = ["customer", "customer", "driver", "restaurant", "admin"];

/// Threads of each Puma.
const THREADS: u32 = 3;

/// A running shop.
pub struct Shop {
    pub usher: Binary,
    pub pumas: Vec<Puma>,
}

/// The audiences of `config/examples/food-delivery.yaml` that this shop has pools for.
const AUDIENCES: &str = "
workers: 2
trusted_proxies: [127.0.0.0/8]
drain: { grace: 0s, requests: 20s, tunnels: 20s }
defaults:
  pool:
    capacity: 3
    queue: { wait: 30s }
    timeouts: { connect: 1s, first_byte: 40s, total: 60s }

audiences:
  - name: webhooks
    match:
      - path: /webhooks/**
        method: POST
    pool: restaurant
  - name: admin
    match: [{ path: /admin/** }]
    only: [{ client: [10.0.0.0/8, 192.168.0.0/16] }]
    pool: admin
    slo: { availability: 99.5%, latency: { within: 2s, target: 95% } }
  - name: driver
    match:
      - path: /api/driver/**
      - header: { X-App: driver }
    pool: driver
    slo: { availability: 99.9%, latency: { within: 300ms, target: 99% } }
  - name: restaurant
    match:
      - path: [/restaurant/**, /api/restaurant/**]
      - host: kitchen.example.com
      - header: { X-App: [kitchen, till] }
    pool: restaurant
  - name: customer
    pool: customer
";

// === impl Shop ===

impl Shop {
    /// Starts the Pumas, all at once, and then usher, with more of the customers' pool's keys in
    /// `pool`.
    pub async fn open(pool: &str) -> Self {
        let start = |pool: &'static str| {
            thread::spawn(move || Plan::new(pool, THREADS, 0).env("LOG_LEVEL", "warn").start())
        };
        let starting: Vec<_> = POOLS.into_iter().map(start).collect();
        let pumas: Vec<Puma> =
            starting.into_iter().map(|puma| puma.join().expect("Puma starts")).collect();
        let usher = Binary::start(&format!("{AUDIENCES}{}{pool}", pools(&pumas))).await;
        Self { usher, pumas }
    }

    /// The same audiences on the one pool there is, as a team begins that wants to measure first.
    pub async fn open_with_one_pool() -> Self {
        let pumas = vec![Plan::new("rails", THREADS, 0).env("LOG_LEVEL", "warn").start()];
        let audiences = POOLS.iter().fold(AUDIENCES.to_owned(), |text, pool| {
            text.replace(&format!("    pool: {pool}\n"), "    pool: rails\n")
        });
        let address = &pumas[0].address;
        let pools = format!("pools:\n  rails: {{ endpoints: [{address}] }}\n");
        let usher = Binary::start(&format!("{audiences}{pools}")).await;
        Self { usher, pumas }
    }
}

fn pools(pumas: &[Puma]) -> String {
    let at: Vec<&str> = pumas.iter().map(|puma| &*puma.address).collect();
    format!(
        "pools:\n\
         \x20 driver: {{ endpoints: [{}] }}\n\
         \x20 restaurant: {{ endpoints: [{}] }}\n\
         \x20 admin: {{ endpoints: [{}] }}\n\
         \x20 customer:\n    endpoints: [{}, {}]\n",
        at[2], at[3], at[4], at[0], at[1],
    )
}
