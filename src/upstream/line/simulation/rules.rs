//! Whose turn it is: as the line has it, and two rules to compare it with.

use std::collections::VecDeque;

use super::{super::tests::Test, *};

const EVERYONE: Test = Test(0, 1, 0);

/// Who is next, and who has to go: the line, or something to compare it with.
pub trait Order {
    fn enter(&mut self, who: usize, now: Instant, refused: &mut Vec<usize>) -> Option<Ticket>;
    fn next(&mut self, now: Instant) -> Option<usize>;
    fn leave(&mut self, ticket: Ticket, leaving: Leaving, now: Instant) -> bool;
    fn expire(&mut self, now: Instant, refused: &mut Vec<usize>);
    fn patience(&self, now: Instant) -> Duration;
    fn len(&self) -> usize;
}

/// What the line is compared with.
pub struct Plain {
    rule: Rule,
    waiting: VecDeque<(Ticket, usize, Instant)>,
    tickets: Ticket,
    busy_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// First come, first served, and `WAIT` for everybody: a queue with a limit in time.
    InOrder,
    /// Overloaded by time alone, once it has not been empty for `WAIT`: from then on the newest
    /// first, and a quarter of `WAIT` for everybody.
    ByTime,
}

// === impl Order ===

impl Order for Line<Test, usize> {
    fn enter(&mut self, who: usize, now: Instant, refused: &mut Vec<usize>) -> Option<Ticket> {
        let entered = Line::enter(self, EVERYONE, who, TERMS, now, refused);
        entered.map_err(|Full(who)| refused.push(who)).ok()
    }

    fn next(&mut self, now: Instant) -> Option<usize> {
        Line::next(self, now, |_| true)
    }

    fn leave(&mut self, ticket: Ticket, leaving: Leaving, now: Instant) -> bool {
        Line::leave(self, ticket, leaving, now)
    }

    fn expire(&mut self, now: Instant, refused: &mut Vec<usize>) {
        Line::expire(self, now, refused);
    }

    fn patience(&self, now: Instant) -> Duration {
        Line::patience(self, WAIT, now)
    }

    fn len(&self) -> usize {
        Line::len(self)
    }
}

impl Order for Plain {
    fn enter(&mut self, who: usize, now: Instant, refused: &mut Vec<usize>) -> Option<Ticket> {
        if self.waiting.len() >= TERMS.length {
            if !self.is_overloaded(now) {
                refused.push(who);
                return None;
            }
            refused.extend(self.waiting.pop_front().map(|(_, oldest, _)| oldest));
        }
        self.tickets += 1;
        self.waiting.push_back((self.tickets, who, now));
        self.busy_since.get_or_insert(now);
        Some(self.tickets)
    }

    fn next(&mut self, now: Instant) -> Option<usize> {
        let newest = self.is_overloaded(now);
        let next = if newest { self.waiting.pop_back() } else { self.waiting.pop_front() };
        self.forget_when_empty();
        next.map(|(_, who, _)| who)
    }

    fn leave(&mut self, ticket: Ticket, _: Leaving, _: Instant) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(known, ..)| *known != ticket);
        self.forget_when_empty();
        self.waiting.len() < before
    }

    fn expire(&mut self, now: Instant, refused: &mut Vec<usize>) {
        let patience = self.patience(now);
        while let Some(&(_, who, since)) = self.waiting.front()
            && now - since >= patience
        {
            self.waiting.pop_front();
            refused.push(who);
        }
        self.forget_when_empty();
    }

    fn patience(&self, now: Instant) -> Duration {
        if self.is_overloaded(now) { WAIT / 4 } else { WAIT }
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }
}

// === impl Plain ===

impl Plain {
    pub fn new(rule: Rule) -> Self {
        Self { rule, waiting: VecDeque::new(), tickets: 0, busy_since: None }
    }

    fn is_overloaded(&self, now: Instant) -> bool {
        self.rule == Rule::ByTime && self.busy_since.is_some_and(|since| now - since >= WAIT)
    }

    fn forget_when_empty(&mut self) {
        if self.waiting.is_empty() {
            self.busy_since = None;
        }
    }
}
