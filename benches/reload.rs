//! What a reload costs the house thread, with 10,000 rules and 1,000 endpoints:
//! `cargo bench --bench reload`.
//!
//! 100 audiences have 100 rules each, and 100 pools 10 endpoints each. `whole` is what happens
//! between a changed file and the store that publishes it: reading the text, checking and lowering
//! it, saying what changed, compiling it on what outlives it, and publishing. The others are its
//! parts. The files are read from memory; workers only see the store.

use std::{fmt::Write, sync::Arc};

use divan::{Bencher, black_box};
use usher::{
    config::{self, Config, Fixed, LoadOptions},
    meters::Meters,
    snapshot::{Published, World},
};

/// As in the program: reading a configuration is many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AUDIENCES: usize = 100;
const RULES: usize = 100;
const POOLS: usize = 100;
const ENDPOINTS: usize = 10;

fn main() {
    // As in the program, where `app` does it.
    rustix::thread::disable_transparent_huge_pages(true).expect("it is Linux");
    divan::Divan::default().sample_count(20).sample_size(1).config_with_args().main();
}

#[divan::bench]
fn whole(bencher: Bencher<'_, '_>) {
    let (first, second) = (text(0), text(1));
    let (world, published) = running(&first);
    let fixed = Fixed::of(&published.current().config);
    let mut generation = 1;
    bencher.bench_local(|| {
        generation += 1;
        let text = if generation % 2 == 0 { &second } else { &first };
        let new = Arc::new(parse(black_box(text)));
        let old = published.current();
        let changes = config::changes(&old.config, &new, &fixed);
        published.publish(Arc::new(world.compile(new, generation)));
        changes
    });
}

#[divan::bench]
fn reading_and_checking(bencher: Bencher<'_, '_>) {
    let text = text(0);
    bencher.bench_local(|| parse(black_box(&text)));
}

#[divan::bench]
fn compiling(bencher: Bencher<'_, '_>) {
    let config = Arc::new(parse(&text(0)));
    let world = World::new(Meters::new(2, &[]));
    bencher.bench_local(|| world.compile(black_box(config.clone()), 1));
}

#[divan::bench]
fn saying_what_changes(bencher: Bencher<'_, '_>) {
    let (old, new) = (parse(&text(0)), parse(&text(1)));
    let fixed = Fixed::of(&old);
    bencher.bench_local(|| config::changes(black_box(&old), black_box(&new), &fixed));
}

fn running(text: &str) -> (World, Published) {
    let world = World::new(Meters::new(2, &[]));
    let snapshot = world.compile(Arc::new(parse(text)), 1);
    (world, Published::new(Arc::new(snapshot)))
}

fn parse(text: &str) -> Config {
    let parsed = config::parse_text("bench.yaml", text, &LoadOptions::default());
    parsed.unwrap_or_else(|problems| panic!("{problems}")).0
}

/// A configuration; another `turn` has another rule in each audience and another endpoint in each
/// pool.
fn text(turn: usize) -> String {
    let mut text = String::from("listeners: [{ bind: 127.0.0.1:0 }]\naudiences:\n");
    for audience in 0..AUDIENCES {
        let _ = writeln!(text, "  - name: audience-{audience}\n    pool: pool-{audience}");
        text.push_str("    match:\n");
        for rule in 0..RULES {
            let turn = if rule == 0 { turn } else { 0 };
            let _ = writeln!(text, "      - path: /a{audience}/place-{rule}-{turn}/**");
        }
    }
    text.push_str("  - { name: everyone, pool: pool-0 }\npools:\n");
    for pool in 0..POOLS {
        let _ = write!(text, "  pool-{pool}:\n    capacity: 5\n    endpoints: [");
        for endpoint in 0..ENDPOINTS {
            let last = if endpoint == 0 { 100 + turn } else { endpoint };
            let _ = write!(text, "\"10.0.{pool}.{last}:3000\", ");
        }
        text.push_str("]\n");
    }
    text
}
