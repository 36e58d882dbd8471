//! The queue's state machine: tables, and a model.

use proptest::prelude::*;

use super::*;

const WAIT: Duration = Duration::from_millis(1_000);
const MS: Duration = Duration::from_millis(1);

/// An audience of a test: its key, its priority, what it is owed.
#[derive(Clone, Copy, Debug)]
pub struct Test(pub u64, pub u8, pub i64);

impl Lane for Test {
    fn key(&self) -> u64 {
        self.0
    }

    fn priority(&self) -> u8 {
        self.1
    }

    fn owed(&self) -> i64 {
        self.2
    }
}

const ONE: Test = Test(0, 1, 0);

fn terms(length: usize) -> Terms {
    Terms { wait: WAIT, own: WAIT, length }
}

fn enter(line: &mut Line<Test, u32>, lane: Test, who: u32, now: Instant) -> Ticket {
    line.enter(lane, who, terms(100), now, &mut Vec::new()).expect("there is room")
}

fn next(line: &mut Line<Test, u32>, now: Instant) -> Option<u32> {
    line.next(now, |_| true)
}

#[test]
fn the_oldest_goes_first_until_the_pool_is_overloaded_and_then_the_newest() {
    let (mut line, start) = (Line::new(), Instant::now());
    let mut tickets = Vec::new();
    for (after_ms, who) in [(0, 1), (100, 2), (200, 3), (950, 4), (960, 5), (970, 6)] {
        tickets.push(enter(&mut line, ONE, who, start + after_ms * MS));
    }
    assert_eq!(next(&mut line, start + 999 * MS), Some(1));
    let late = start + 1_000 * MS;
    assert!(!line.is_overloaded(late), "nobody has gone without");
    assert_eq!(line.patience(WAIT, late), WAIT);
    assert!(line.leave(tickets[1], Leaving::Gone, late));
    assert!(line.is_overloaded(late), "of two one has");
    assert_eq!(line.patience(WAIT, late), WAIT / 2);
    assert_eq!(next(&mut line, late), Some(6));
    let mut gone = Vec::new();
    line.expire(late, &mut gone);
    assert_eq!(gone, [3], "whoever has waited for longer than patience lasts now");
    assert_eq!(next(&mut line, late), Some(5));
    assert_eq!(next(&mut line, late), Some(4));
    assert_eq!(next(&mut line, late), None);
    assert!(!line.is_overloaded(late + WAIT), "it has been empty");
    assert_eq!(line.patience(WAIT, late), WAIT);
}

#[test]
fn everyone_waits_for_as_long_as_was_said_for_its_like_whoever_else_waits() {
    let (mut line, start) = (Line::new(), Instant::now());
    let mut gone = Vec::new();
    for (who, lane, own_ms) in
        [(0, 0, 5_000), (1, 0, 5_000), (2, 0, 100), (3, 1, 1_000), (4, 0, 5_000)]
    {
        let terms = Terms { own: own_ms * MS, ..terms(100) };
        line.enter(Test(lane, 1, 0), who, terms, start, &mut gone).expect("there is room");
    }
    assert_eq!(next(&mut line, start), Some(0));
    line.expire(start + 99 * MS, &mut gone);
    assert_eq!(gone, [0_u32; 0]);
    line.expire(start + 100 * MS, &mut gone);
    assert_eq!(gone, [2]);
    line.expire(start + WAIT, &mut gone);
    assert_eq!(gone, [2, 3]);
    // Overloaded by what holds for the pool, and everyone's patience is a third of its own.
    line.expire(start + 1_666 * MS, &mut gone);
    assert_eq!(line.len(), 2);
    line.expire(start + 1_667 * MS, &mut gone);
    assert_eq!(gone, [2, 3, 1, 4]);
    line.check_invariants();
}

#[test]
fn a_full_line_refuses_the_newcomer_in_order_and_the_oldest_in_the_other_order() {
    let (mut line, start) = (Line::new(), Instant::now());
    let mut gone = Vec::new();
    for who in [1, 2] {
        line.enter(ONE, who, terms(2), start, &mut gone).expect("there is room");
    }
    let refused = line.enter(ONE, 3, terms(2), start, &mut gone);
    assert!(matches!(refused, Err(Full(3))), "{refused:?}");
    assert!(gone.is_empty());
    line.enter(ONE, 4, terms(2), start + WAIT, &mut gone).expect("the oldest makes room");
    assert_eq!(gone, [1]);
    let refused = line.enter(ONE, 5, terms(0), start + WAIT, &mut gone);
    assert!(refused.is_err(), "where nobody may wait, nobody does");
}

#[test]
fn an_audience_below_its_share_goes_first_then_the_higher_priority_then_the_order() {
    let (mut line, now) = (Line::new(), Instant::now());
    let (low, high, owed) = (Test(1, 0, 0), Test(2, 2, -3), Test(3, 0, 1));
    for (lane, who) in [(low, 1), (high, 2), (high, 3), (owed, 4), (ONE, 5)] {
        enter(&mut line, lane, who, now);
    }
    let order: Vec<_> = std::iter::from_fn(|| next(&mut line, now)).collect();
    assert_eq!(order, [4, 2, 3, 5, 1]);
}

#[test]
fn whoever_floods_a_full_line_makes_room_for_the_others() {
    let (mut line, now) = (Line::new(), Instant::now());
    let (flood, other, low) = (Test(1, 1, -5), Test(2, 1, 2), Test(3, 0, 0));
    let mut gone = Vec::new();
    for who in 1..=3 {
        line.enter(flood, who, terms(4), now, &mut gone).expect("there is room");
    }
    line.enter(low, 4, terms(4), now, &mut gone).expect("there is room");
    line.enter(other, 5, terms(4), now, &mut gone).expect("a lower priority makes room");
    line.enter(other, 6, terms(4), now, &mut gone).expect("the flood makes room");
    assert_eq!(gone, [4, 3], "the lowest priority, then the last of those who want most");
    let refused = line.enter(flood, 7, terms(4), now, &mut gone);
    assert!(refused.is_err(), "and the flood gets none of it");
}

#[test]
fn one_for_whom_a_slot_is_of_no_use_is_passed_over_and_keeps_its_place() {
    let (mut line, now) = (Line::new(), Instant::now());
    for who in [1, 2, 3] {
        enter(&mut line, ONE, who, now);
    }
    assert_eq!(line.next(now, |who| *who != 1), Some(2));
    assert!(line.any(|who| *who == 1) && !line.any(|who| *who == 2));
    assert_eq!(next(&mut line, now), Some(1));
}

/// What may happen to a line.
#[derive(Clone, Copy, Debug)]
enum Event {
    Enter { lane: u64, length: usize },
    Next,
    Leave(usize, Leaving),
    Expire,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_u64, 0..12_usize).prop_map(|(lane, length)| Event::Enter { lane, length }),
        3 => Just(Event::Next),
        1 => (0..20_usize).prop_map(|at| Event::Leave(at, Leaving::Gone)),
        1 => (0..20_usize).prop_map(|at| Event::Leave(at, Leaving::Late)),
        1 => Just(Event::Expire),
        2 => (0..700_u64).prop_map(Event::Pass),
    ]
}

/// How somebody left a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Served,
    Refused,
    Gone,
}

/// The simplest thing that does the same: a list of everybody, and of all that happened since
/// nobody was in it, looked through each time.
#[derive(Default)]
struct Model {
    waiting: Vec<(Ticket, Test, Instant)>,
    busy_since: Option<Instant>,
    fates: Vec<(Instant, Fate)>,
}

impl Model {
    /// Of the first so many: how many were served and how many were not, in this window of `WAIT`
    /// and the one before.
    fn counted(&self, first: usize, now: Instant) -> (u32, u32) {
        let window = |at: Instant| {
            self.busy_since.map_or(0, |since| (at - since).as_millis() / WAIT.as_millis())
        };
        let late = |fate: &&(Instant, Fate)| window(fate.0) + 1 >= window(now);
        let late = self.fates[..first].iter().filter(late).copied();
        let (served, missed): (Vec<_>, Vec<_>) = late.partition(|fate| fate.1 == Fate::Served);
        (served.len() as u32, missed.len() as u32)
    }

    fn holds(&self, first: usize, now: Instant) -> bool {
        let lasts = |since: Instant| now - since >= WAIT;
        let refused = self.fates[..first].iter().find(|fate| fate.1 == Fate::Refused);
        let (served, missed) = self.counted(first, now);
        let many = missed > 0 && missed >= served;
        self.busy_since.is_some_and(lasts) && (many || refused.is_some_and(|it| lasts(it.0)))
    }

    /// Whether it was the case at any time since nobody was there.
    fn overloaded(&self, now: Instant) -> bool {
        (0..=self.fates.len()).any(|first| {
            let then = first.checked_sub(1).map(|last| self.fates[last].0);
            let until = self.fates.get(first).map_or(now, |next| next.0);
            then.is_some_and(|then| self.holds(first, then)) || self.holds(first, until)
        })
    }

    fn patience(&self, now: Instant) -> Duration {
        if !self.overloaded(now) {
            return WAIT;
        }
        let (served, missed) = self.counted(self.fates.len(), now);
        let share = f64::from(served) / f64::from((served + missed).max(1));
        WAIT.mul_f64(share.max(0.1))
    }

    fn remove(&mut self, at: usize, fate: Fate, now: Instant) -> Ticket {
        let ticket = self.waiting.remove(at).0;
        self.fates.push((now, fate));
        self.forget_when_empty();
        ticket
    }

    fn forget_when_empty(&mut self) {
        if self.waiting.is_empty() {
            self.busy_since = None;
            self.fates.clear();
        }
    }

    fn expire(&mut self, now: Instant) -> Vec<Ticket> {
        let patience = self.patience(now);
        let mut late = Vec::new();
        while let Some(at) = self.waiting.iter().position(|it| now - it.2 >= patience) {
            late.push(self.remove(at, Fate::Refused, now));
        }
        late.sort_unstable();
        late
    }

    fn next(&mut self, now: Instant) -> Option<Ticket> {
        let newest = self.overloaded(now);
        let mut order: Vec<usize> = (0..self.waiting.len()).collect();
        if newest {
            order.reverse();
        }
        // The first of the best, in the order that holds.
        let best = order.iter().map(|&at| rank(&self.waiting[at])).max()?;
        let at = order.into_iter().find(|&at| rank(&self.waiting[at]) == best)?;
        Some(self.remove(at, Fate::Served, now))
    }
}

fn rank(waiter: &(Ticket, Test, Instant)) -> (bool, u8) {
    (waiter.1.owed() > 0, waiter.1.priority())
}

/// A line and its model, which live through the same.
struct Play {
    line: Line<Test, Ticket>,
    model: Model,
    now: Instant,
    entered: u64,
    left: u64,
}

impl Play {
    fn new() -> Self {
        let (line, model) = (Line::new(), Model::default());
        Self { line, model, now: Instant::now(), entered: 0, left: 0 }
    }

    fn event(&mut self, event: Event, lanes: &[Test]) -> Result<(), TestCaseError> {
        let now = self.now;
        match event {
            Event::Pass(ms) => self.now += ms as u32 * MS,
            Event::Enter { lane, length } => self.enter(lanes[lane as usize], length)?,
            Event::Next => {
                let next = self.line.next(now, |_| true);
                prop_assert_eq!(next, self.model.next(now));
                self.left += u64::from(next.is_some());
            }
            Event::Leave(at, leaving) => {
                // Somebody who may be there or not.
                let ticket = at as Ticket;
                let gone = self.line.leave(ticket, leaving, now);
                let known = self.model.waiting.iter().position(|it| it.0 == ticket);
                prop_assert_eq!(gone, known.is_some());
                let fate = match leaving {
                    Leaving::Gone => Fate::Gone,
                    Leaving::Late => Fate::Refused,
                };
                known.map(|at| self.model.remove(at, fate, now));
                self.left += u64::from(gone);
            }
            Event::Expire => {
                let mut late = Vec::new();
                self.line.expire(now, &mut late);
                late.sort_unstable();
                prop_assert_eq!(&late, &self.model.expire(now));
                self.left += late.len() as u64;
            }
        }
        Ok(())
    }

    fn enter(&mut self, lane: Test, length: usize) -> Result<(), TestCaseError> {
        let (before, now) = (self.line.len(), self.now);
        let mut crowded = Vec::new();
        let done = self.line.enter(lane, self.entered, terms(length), now, &mut crowded);
        for gone in &crowded {
            let at = self.model.waiting.iter().position(|it| it.0 == *gone);
            let at = at.ok_or_else(|| TestCaseError::fail("somebody went who was not there"))?;
            prop_assert!(self.model.waiting[at].1.priority() <= lane.priority());
            // Whoever makes room for another does not leave it empty.
            self.model.waiting.remove(at);
            self.model.fates.push((now, Fate::Refused));
        }
        self.left += crowded.len() as u64;
        match done {
            Ok(_) => {
                prop_assert!(self.line.len() <= length, "no more than may");
                self.model.waiting.push((self.entered, lane, now));
                self.model.busy_since.get_or_insert(now);
                self.entered += 1;
            }
            Err(_) => {
                prop_assert!(before >= length, "there was no room");
                self.model.fates.push((now, Fate::Refused));
                self.model.forget_when_empty();
            }
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let Self { line, model, now, entered, left } = self;
        line.check_invariants();
        prop_assert_eq!(line.len(), model.waiting.len());
        prop_assert_eq!(line.is_overloaded(*now), model.overloaded(*now));
        prop_assert_eq!(line.patience(WAIT, *now), model.patience(*now));
        prop_assert_eq!(line.oldest(), model.waiting.iter().map(|it| it.2).min());
        prop_assert_eq!(*entered, left + line.len() as u64, "everyone leaves exactly once");
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_line_does_what_a_list_of_everybody_would(
        lanes in prop::collection::vec((0..3_u8, -2..3_i64), 3),
        events in prop::collection::vec(event(), 1..150),
    ) {
        let lane = |(&(priority, owed), key): (&(u8, i64), u64)| Test(key, priority, owed);
        let lanes: Vec<Test> = lanes.iter().zip(0..).map(lane).collect();
        let mut play = Play::new();
        for event in events {
            play.event(event, &lanes)?;
            play.compare()?;
        }
    }
}
