//! A pool in virtual time: what the line makes of demand, beside two other rules.
//!
//! Ten slots, a queue of four times as many, a wait of one second. Clients come as they like, each
//! wants a slot for as long as its work takes, and some leave when their answer is [`SLACK`] later
//! than that. Nothing here waits or looks at a clock; a run is its seed.
//!
//! `cargo test --lib upstream::line::simulation -- --nocapture` prints the table of
//! `docs/slots.md`.

mod rules;

use std::{cmp::Reverse, collections::BinaryHeap};

use rules::{Order, Plain, Rule};

use super::*;

const SLOTS: usize = 10;
const WAIT: Duration = Duration::from_secs(1);
const TERMS: Terms = Terms { wait: WAIT, own: WAIT, length: 4 * SLOTS };

/// How much later than its work takes an answer may be before an impatient client leaves.
const SLACK: Duration = Duration::from_millis(300);

/// How many crowds are tried of each kind.
const SEEDS: u64 = 4;

/// What is looked at: clients come until the end, and what was before is a pool that fills.
const BEGIN: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(35);

/// How long the work of requests takes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// Any time, 100 ms on average.
    Exponential,
    /// Nine of ten 50 ms, the tenth two seconds.
    Bimodal,
}

/// A client: when it comes, how long its work takes, and when it leaves if it does.
#[derive(Clone, Copy, Debug)]
struct Client {
    at: Duration,
    work: Duration,
    leaves: Option<Duration>,
}

/// What has become of a client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Its answer came while it was there; it had waited so long for a slot.
    Served { waited: Duration },
    /// It has left, with the work begun.
    Wasted,
    /// It has left, with nothing done for it.
    Left,
    /// It was told that there is no slot for it, after so long.
    Refused { after: Duration },
}

/// A run: events to come, and what has become of whom.
struct Run<'a, O> {
    order: O,
    clients: &'a [Client],
    start: Instant,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    tickets: Vec<Option<(Ticket, Duration)>>,
    begun: Vec<Option<Duration>>,
    fates: Vec<Option<Fate>>,
    free: usize,
}

/// What happens to a client; of what happens at one time, the first of these is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(usize),
    Leaves(usize),
    Looks(usize),
    Comes(usize),
}

/// What came of all who came between `BEGIN` and `END`.
#[derive(Debug, Default)]
struct Outcome {
    runs: u32,
    fates: Vec<Fate>,
    /// Time of slots that went into answers whose client was still there.
    good: Duration,
}

/// Numbers that look like chance (Steele and others, "SplitMix", 2014).
struct Chance(u64);

// === impl Run ===

impl<'a, O: Order> Run<'a, O> {
    fn new(order: O, clients: &'a [Client]) -> Self {
        let mut events = BinaryHeap::new();
        for (who, client) in clients.iter().enumerate() {
            events.push(Reverse((client.at, Event::Comes(who))));
            events.extend(client.leaves.map(|at| Reverse((at, Event::Leaves(who)))));
        }
        let (tickets, begun) = (vec![None; clients.len()], vec![None; clients.len()]);
        let (start, fates) = (Instant::now(), vec![None; clients.len()]);
        Self { order, clients, start, events, tickets, begun, fates, free: SLOTS }
    }

    fn all(mut self) -> Self {
        while let Some(Reverse((at, event))) = self.events.pop() {
            let now = self.start + at;
            let mut refused = Vec::new();
            match event {
                Event::Comes(who) => self.comes(who, at, &mut refused),
                Event::Looks(who) => self.looks(who, at, &mut refused),
                Event::Leaves(who) => self.leaves(who, now),
                Event::Done(who) => {
                    self.free += 1;
                    let waited = self.begun[who].map_or(at, |begun| begun - self.clients[who].at);
                    self.fates[who].get_or_insert(Fate::Served { waited });
                }
            }
            // As a room does for whoever gives a slot back.
            self.order.expire(now, &mut refused);
            for who in refused {
                self.fates[who] = Some(Fate::Refused { after: at - self.clients[who].at });
            }
            while self.free > 0
                && let Some(who) = self.order.next(now)
            {
                self.begin(who, at);
            }
            let (free, waiting) = (self.free, self.order.len());
            assert!(free == 0 || waiting == 0, "{waiting} wait while {free} slots are free");
        }
        self
    }

    fn comes(&mut self, who: usize, at: Duration, refused: &mut Vec<usize>) {
        if self.free > 0 && self.order.len() == 0 {
            return self.begin(who, at);
        }
        self.order.expire(self.start + at, refused);
        if let Some(ticket) = self.order.enter(who, self.start + at, refused) {
            self.tickets[who] = Some((ticket, at));
            self.looks(who, at, refused);
        }
    }

    /// Somebody who waits looks whether it has for long enough, as `proxy/slot` does.
    fn looks(&mut self, who: usize, at: Duration, refused: &mut Vec<usize>) {
        let Some((ticket, since)) = self.tickets[who] else { return };
        if self.begun[who].is_some() || self.fates[who].is_some() {
            return;
        }
        let until = since + self.order.patience(self.start + at);
        if until > at {
            self.events.push(Reverse((until, Event::Looks(who))));
        } else if self.order.leave(ticket, Leaving::Late, self.start + at) {
            refused.push(who);
        }
    }

    fn leaves(&mut self, who: usize, now: Instant) {
        if self.fates[who].is_some() {
            return;
        }
        let fate = if self.begun[who].is_some() { Fate::Wasted } else { Fate::Left };
        self.fates[who] = Some(fate);
        self.tickets[who].map(|(ticket, _)| self.order.leave(ticket, Leaving::Gone, now));
    }

    fn begin(&mut self, who: usize, at: Duration) {
        self.free -= 1;
        self.begun[who] = Some(at);
        self.events.push(Reverse((at + self.clients[who].work, Event::Done(who))));
    }
}

// === impl Outcome ===

impl Outcome {
    fn add<O: Order>(&mut self, run: &Run<'_, O>) {
        self.runs += 1;
        for ((client, fate), begun) in run.clients.iter().zip(&run.fates).zip(&run.begun) {
            let fate = fate.expect("everyone has come to something");
            if (BEGIN..END).contains(&client.at) {
                self.fates.push(fate);
            }
            if let (Fate::Served { .. }, Some(begun)) = (fate, *begun) {
                let (from, to) = (begun.max(BEGIN), (begun + client.work).min(END));
                self.good += to.saturating_sub(from);
            }
        }
    }

    /// The share of what the slots can do that has reached somebody.
    fn goodput(&self) -> f64 {
        self.good.as_secs_f64() / ((END - BEGIN) * self.runs * SLOTS as u32).as_secs_f64()
    }

    fn share(&self, of: impl Fn(&Fate) -> bool) -> f64 {
        self.fates.iter().filter(|fate| of(fate)).count() as f64 / self.fates.len() as f64
    }

    fn refused(&self) -> f64 {
        self.share(|fate| matches!(fate, Fate::Refused { .. }))
    }

    fn quantile(&self, part: f64, time: impl Fn(&Fate) -> Option<Duration>) -> Duration {
        let mut times: Vec<Duration> = self.fates.iter().filter_map(time).collect();
        times.sort_unstable();
        let at = (times.len() as f64 * part) as usize;
        times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn waited(&self, part: f64) -> Duration {
        self.quantile(part, |fate| match fate {
            Fate::Served { waited } => Some(*waited),
            Fate::Wasted | Fate::Left | Fate::Refused { .. } => None,
        })
    }

    fn row(&self) -> String {
        let after = self.quantile(0.5, |fate| match fate {
            Fate::Refused { after } => Some(*after),
            Fate::Wasted | Fate::Left | Fate::Served { .. } => None,
        });
        format!(
            "{:.1} % | {:.1} % | {} / {} | {:.2} % | {} |",
            100.0 * self.goodput(),
            100.0 * self.share(|fate| matches!(fate, Fate::Served { .. })),
            self.waited(0.5).as_millis(),
            self.waited(0.99).as_millis(),
            100.0 * self.refused(),
            after.as_millis(),
        )
    }
}

// === impl Chance ===

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-self.next().ln())
    }
}

/// Clients that want `demand` times what the slots can do, a share of them impatient.
fn crowd(seed: u64, work: Work, demand: f64, impatient: f64) -> Vec<Client> {
    let mut chance = Chance(seed);
    let mean = Duration::from_millis(if work == Work::Bimodal { 245 } else { 100 });
    let apart = mean.div_f64(demand * SLOTS as f64);
    let mut at = Duration::ZERO;
    let mut clients = Vec::new();
    loop {
        at += chance.exponential(apart);
        if at >= END {
            return clients;
        }
        let work = match work {
            Work::Exponential => chance.exponential(mean),
            Work::Bimodal if chance.next() < 0.9 => Duration::from_millis(50),
            Work::Bimodal => Duration::from_secs(2),
        };
        let leaves = (chance.next() < impatient).then(|| at + work + SLACK);
        clients.push(Client { at, work, leaves });
    }
}

/// What comes of a few such crowds: in the line, in order, and where time alone overloads.
fn all_three(work: Work, demand: f64, impatient: f64) -> [Outcome; 3] {
    let mut outcomes = [Outcome::default(), Outcome::default(), Outcome::default()];
    for seed in 1..=SEEDS {
        let clients = crowd(seed, work, demand, impatient);
        outcomes[0].add(&Run::new(Line::new(), &clients).all());
        outcomes[1].add(&Run::new(Plain::new(Rule::InOrder), &clients).all());
        outcomes[2].add(&Run::new(Plain::new(Rule::ByTime), &clients).all());
    }
    outcomes
}

#[expect(clippy::print_stdout, reason = "the table of docs/slots.md")]
#[test]
fn more_than_there_is_becomes_whole_answers_and_what_there_is_room_for_is_not_refused() {
    println!(
        "| work | demand | rule | goodput | served | waited, p50 / p99 ms | refused | after ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (work, named) in [(Work::Bimodal, "50 ms / 2 s"), (Work::Exponential, "exponential")] {
        for demand in [0.5, 0.8, 1.0, 1.2, 2.0, 5.0] {
            let [line, in_order, by_time] = all_three(work, demand, 0.2);
            println!("| {named} | {demand}× | usher's | {}", line.row());
            println!("| | | in order | {}", in_order.row());
            println!("| | | by time alone | {}", by_time.row());
            let what = format!("{named}, {demand}");
            assert!(line.goodput() > in_order.goodput() - 0.01, "{what}: {}", line.goodput());
            assert!(line.refused() < by_time.refused() + 0.01, "{what}: {}", line.refused());
            assert!(line.waited(0.99) < WAIT, "{what}: {:?}", line.waited(0.99));
            if demand >= 2.0 {
                assert!(line.goodput() >= 0.95, "{what}: {}", line.goodput());
                assert!(line.waited(0.5) < WAIT / 20, "{what}: {:?}", line.waited(0.5));
            }
            if demand >= 5.0 {
                assert!(line.waited(0.99) < WAIT / 4, "{what}: {:?}", line.waited(0.99));
            }
        }
    }
}

#[test]
fn clients_who_leave_show_overload_as_well_as_those_who_are_refused() {
    for work in [Work::Bimodal, Work::Exponential] {
        let [line, in_order, _] = all_three(work, 2.0, 1.0);
        // In order all of them wait until just before they leave, and nearly nobody is refused.
        assert!(in_order.goodput() < 0.30, "{work:?}: {}", in_order.goodput());
        assert!(line.goodput() > 0.80, "{work:?}: {}", line.goodput());
    }
}

#[test]
fn below_what_there_is_nobody_is_refused_who_had_been_served_in_order() {
    let loads = [(Work::Bimodal, 0.5), (Work::Exponential, 0.5), (Work::Exponential, 0.8)];
    for (work, demand) in loads {
        for seed in 100..110 {
            let clients = crowd(seed, work, demand, 0.2);
            let line = Run::new(Line::new(), &clients).all();
            let in_order = Run::new(Plain::new(Rule::InOrder), &clients).all();
            for (who, (here, there)) in line.fates.iter().zip(&in_order.fates).enumerate() {
                let refused = |fate: &Option<Fate>| matches!(fate, Some(Fate::Refused { .. }));
                assert!(!refused(here) || refused(there), "{work:?} {demand} {seed}: {who}");
            }
        }
    }
}

#[test]
fn until_somebody_is_refused_in_order_nobody_is_refused_whatever_the_demand() {
    for demand in [0.8, 1.0, 1.2] {
        for seed in 200..210 {
            // Nobody leaves, so that only refusals tell.
            let clients = crowd(seed, Work::Bimodal, demand, 0.0);
            let line = Run::new(Line::new(), &clients).all();
            let in_order = Run::new(Plain::new(Rule::InOrder), &clients).all();
            let first = |fates: &[Option<Fate>]| {
                fates.iter().position(|fate| matches!(fate, Some(Fate::Refused { .. })))
            };
            assert_eq!(first(&line.fates), first(&in_order.fates), "{demand} {seed}");
        }
    }
}
