//! Requests of a paused target, in the order in which they came, and how they go on.
//!
//! ```text
//!   closed ── open ──▶ open: as many turns are out as there are slots; each that comes back
//!      ▲                │   lets the next one go on
//!      └──── close ─────┘
//! ```
//!
//! Those who waited do not fall upon the pool's queue all at once: a turn is kept until the slot
//! that it was used for is free again. Who comes after the pause has ended goes past this line, so
//! that it can only get shorter. Dropping a [`Waiting`] gives the place up, dropping a [`Turn`]
//! passes it on: a client that leaves at any moment holds nobody up.
//!
//! Invariant: `turns` is the number of turns that are out, and nobody waits in an open line while
//! there is a turn to be had.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A line, shared by all workers. Only requests that have to wait touch its lock.
#[derive(Debug)]
pub struct Line(Mutex<State>);

/// A place in a line.
#[derive(Debug)]
pub struct Waiting {
    line: Arc<Line>,
    ticket: u64,
    told: oneshot::Receiver<Turn>,
}

/// Leave to go on. Dropping it passes it on.
#[derive(Debug)]
pub struct Turn(Option<Arc<Line>>);

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
struct State {
    closed: bool,
    turns: usize,
    turns_max: usize,
    next_ticket: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Turn>>,
}

// === impl Line ===

impl Line {
    /// A closed line.
    pub fn new() -> Arc<Self> {
        let waiting = BTreeMap::new();
        let state = State { closed: true, turns: 0, turns_max: 1, next_ticket: 0, waiting };
        Arc::new(Self(Mutex::new(state)))
    }

    /// The last place, unless `most` wait already. `slots` is how many may go on at once later.
    pub fn enter(self: &Arc<Self>, most: usize, slots: usize) -> Result<Waiting, Full> {
        let (tell, told) = oneshot::channel();
        let ticket = {
            let mut state = self.0.lock();
            if state.waiting.len() >= most {
                return Err(Full);
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.turns_max = slots.max(1);
            state.waiting.insert(ticket, tell);
            ticket
        };
        // It may have been opened since it was looked for.
        self.pass_on();
        Ok(Waiting { line: self.clone(), ticket, told })
    }

    /// Nobody goes on from now on.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Those who wait go on, the first ones first.
    pub fn open(self: &Arc<Self>) {
        self.0.lock().closed = false;
        self.pass_on();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands turns out for as long as there are some, and some who wait.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let tell = {
                let mut state = self.0.lock();
                if state.closed || state.turns >= state.turns_max {
                    return;
                }
                let Some((_, tell)) = state.waiting.pop_first() else { return };
                state.turns += 1;
                tell
            };
            if let Err(mut turn) = tell.send(Turn(Some(self.clone()))) {
                // Whoever it was for has just gone; the next one is told in the next round.
                turn.0 = None;
                self.0.lock().turns -= 1;
            }
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Ready with the turn, once it has come. Dropping the future loses nothing.
    pub async fn turn(&mut self) -> Turn {
        match (&mut self.told).await {
            Ok(turn) => turn,
            // Not reachable: a line drops no sender that it has not used.
            Err(_) => Turn(None),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A turn that was sent meanwhile lies in the channel and passes itself on.
        self.line.0.lock().waiting.remove(&self.ticket);
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            line.0.lock().turns -= 1;
            line.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };

    use super::*;

    /// The turn, when it has come.
    async fn now(waiting: &mut Waiting) -> Option<Turn> {
        let mut turn = pin!(waiting.turn());
        poll_fn(|cx| match turn.as_mut().poll(cx) {
            Poll::Ready(turn) => Poll::Ready(Some(turn)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn those_who_wait_go_on_in_order_and_no_more_at_once_than_there_are_slots() {
        let line = Line::new();
        let mut waiting: Vec<_> =
            (0..5).map(|_| line.enter(5, 2).expect("there is room")).collect();
        assert_eq!(line.enter(5, 2).err(), Some(Full));
        assert!(now(&mut waiting[0]).await.is_none());
        line.open();
        let first = now(&mut waiting[0]).await.expect("it is the first");
        let _second = now(&mut waiting[1]).await.expect("there are two slots");
        assert!(now(&mut waiting[2]).await.is_none());
        drop(first);
        let _third = now(&mut waiting[2]).await.expect("a slot has come free");
        assert!(now(&mut waiting[3]).await.is_none());
        assert_eq!(line.len(), 2);
    }

    #[tokio::test]
    async fn who_leaves_holds_nobody_up_whenever_it_leaves() {
        let line = Line::new();
        let mut waiting: Vec<_> =
            (0..4).map(|_| line.enter(9, 1).expect("there is room")).collect();
        // One leaves before it is told, and one between being told and hearing it.
        drop(waiting.remove(0));
        assert_eq!(line.len(), 3);
        line.open();
        drop(waiting.remove(0));
        let turn = now(&mut waiting[0]).await.expect("the turn was passed on");
        assert!(now(&mut waiting[1]).await.is_none());
        drop(turn);
        assert!(now(&mut waiting[1]).await.is_some());
        drop(waiting);
        let state = line.0.lock();
        assert_eq!((state.turns, state.waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_line_that_is_closed_again_keeps_those_who_have_not_gone_on() {
        let line = Line::new();
        let mut waiting: Vec<_> =
            (0..3).map(|_| line.enter(9, 1).expect("there is room")).collect();
        line.open();
        let turn = now(&mut waiting[0]).await.expect("it is open");
        line.close();
        drop(turn);
        assert!(now(&mut waiting[1]).await.is_none());
        line.open();
        assert!(now(&mut waiting[1]).await.is_some());
    }

    #[tokio::test]
    async fn who_comes_to_an_open_line_goes_on_at_once() {
        let line = Line::new();
        line.open();
        let mut late = line.enter(1, 1).expect("there is room");
        assert!(now(&mut late).await.is_some());
    }
}
