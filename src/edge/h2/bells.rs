//! Who of a connection has news: its streams, and the crate beneath them.
//!
//! Wakers of one task, told apart. They are rung on other threads as well (a slot that is given
//! back elsewhere), so who was rung stands in a lock; nothing is woken within it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// How often the crate is looked at in one turn. Behind that, streams and crate that go on ringing
/// each other let other connections have theirs.
const LOOKS_MAX: usize = 8;

/// The bells of one connection.
pub(super) struct Bells {
    board: Arc<Board>,
    /// One for each place that a stream ever had, for whoever takes it next.
    of_streams: Vec<Waker>,
}

/// Who is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stream(usize),
    Crate,
}

struct Board(Mutex<Rung>);

/// Who was rung, and what for.
struct Rung {
    /// Streams for this turn, and those for the next one; none is in both.
    now: VecDeque<usize>,
    later: VecDeque<usize>,
    is_rung: Vec<bool>,
    h2: Due,
    /// How often the crate was looked at in this turn.
    times: usize,
    looks: Looks,
    task: Waker,
}

/// When the crate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Never,
    Later,
    Now,
}

/// What the task looks at. It is woken for what it will not look at in this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Nowhere,
    /// And then at the crate, if that was rung.
    AtStream,
    /// And then at streams that were rung meanwhile.
    AtCrate,
}

/// A stream's bell.
struct OfStream {
    key: usize,
    board: Arc<Board>,
}

// === impl Bells ===

impl Default for Bells {
    fn default() -> Self {
        let board = Arc::new(Board(Mutex::new(Rung {
            now: VecDeque::new(),
            later: VecDeque::new(),
            is_rung: Vec::new(),
            h2: Due::Now,
            times: 0,
            looks: Looks::Nowhere,
            task: Waker::noop().clone(),
        })));
        Self { board, of_streams: Vec::new() }
    }
}

impl Bells {
    /// The bell of the stream in this place.
    pub(super) fn of(&mut self, key: usize) -> &Waker {
        while self.of_streams.len() <= key {
            let (key, board) = (self.of_streams.len(), self.board.clone());
            self.of_streams.push(Arc::new(OfStream { key, board }).into());
            self.board.0.lock().is_rung.push(false);
        }
        &self.of_streams[key]
    }

    /// The crate's bell.
    pub(super) fn of_crate(&self) -> Waker {
        self.board.clone().into()
    }

    /// A turn of the task that `waker` wakes begins. It ends when nobody is left to be looked at.
    pub(super) fn begin(&self, waker: &Waker) {
        let mut guard = self.board.0.lock();
        let rung = &mut *guard;
        rung.now.append(&mut rung.later);
        if rung.h2 == Due::Later {
            rung.h2 = Due::Now;
        }
        rung.times = 0;
        if !rung.task.will_wake(waker) {
            rung.task = waker.clone();
        }
    }

    /// Who is looked at next in this turn.
    pub(super) fn next(&self) -> Option<Next> {
        let mut guard = self.board.0.lock();
        let rung = &mut *guard;
        if let Some(key) = rung.now.pop_front() {
            rung.is_rung[key] = false;
            rung.looks = Looks::AtStream;
            return Some(Next::Stream(key));
        }
        if rung.h2 == Due::Now && rung.times < LOOKS_MAX {
            (rung.h2, rung.looks) = (Due::Never, Looks::AtCrate);
            rung.times += 1;
            return Some(Next::Crate);
        }
        rung.looks = Looks::Nowhere;
        if !rung.later.is_empty() || rung.h2 != Due::Never {
            let task = rung.task.clone();
            drop(guard);
            task.wake();
        }
        None
    }

    /// Nobody has that place now. Streams ring themselves on their way out.
    pub(super) fn forget(&self, key: usize) {
        let mut rung = self.board.0.lock();
        if std::mem::take(&mut rung.is_rung[key]) {
            rung.now.retain(|it| *it != key);
            rung.later.retain(|it| *it != key);
        }
    }
}

// === impl Board ===

impl Board {
    fn ring(&self, stream: usize) {
        let mut guard = self.0.lock();
        let rung = &mut *guard;
        if std::mem::replace(&mut rung.is_rung[stream], true) {
            return;
        }
        match rung.looks {
            Looks::AtCrate => rung.now.push_back(stream),
            Looks::AtStream => rung.later.push_back(stream),
            Looks::Nowhere => {
                rung.later.push_back(stream);
                let task = rung.task.clone();
                drop(guard);
                task.wake();
            }
        }
    }

    fn ring_crate(&self) {
        let mut rung = self.0.lock();
        let before = rung.h2;
        rung.h2 = match rung.looks {
            Looks::AtCrate if before == Due::Never => Due::Later,
            Looks::AtCrate => before,
            Looks::AtStream | Looks::Nowhere => Due::Now,
        };
        if before == Due::Never && rung.looks == Looks::Nowhere {
            let task = rung.task.clone();
            drop(rung);
            task.wake();
        }
    }
}

impl Wake for Board {
    fn wake(self: Arc<Self>) {
        self.ring_crate();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring_crate();
    }
}

impl Wake for OfStream {
    fn wake(self: Arc<Self>) {
        self.board.ring(self.key);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.board.ring(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use Next::{Crate, Stream};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The bells of a connection whose task has looked at all, and how often it was woken.
    fn rested() -> (Bells, Arc<Woken>) {
        let (mut bells, woken) = (Bells::default(), Arc::<Woken>::default());
        bells.of(3);
        begin(&bells, &woken);
        assert_eq!(bells.next(), Some(Crate), "it has not been looked at yet");
        assert_eq!(bells.next(), None);
        (bells, woken)
    }

    fn begin(bells: &Bells, woken: &Arc<Woken>) {
        bells.begin(&woken.clone().into());
    }

    #[track_caller]
    fn check(woken: &Woken, times: usize) {
        assert_eq!(woken.0.swap(0, Ordering::Relaxed), times);
    }

    #[test]
    fn whoever_is_rung_while_nobody_looks_wakes_the_task_and_is_looked_at_once() {
        let (mut bells, woken) = rested();
        for key in [3, 1, 3, 1] {
            bells.of(key).wake_by_ref();
        }
        check(&woken, 2);
        bells.of_crate().wake();
        bells.of_crate().wake();
        check(&woken, 1);
        begin(&bells, &woken);
        for next in [Some(Stream(3)), Some(Stream(1)), Some(Crate), None] {
            assert_eq!(bells.next(), next);
        }
        check(&woken, 0);
    }

    #[test]
    fn what_streams_and_the_crate_have_for_each_other_is_looked_at_in_the_same_turn() {
        let (mut bells, woken) = rested();
        bells.of_crate().wake();
        check(&woken, 1);
        begin(&bells, &woken);
        for _ in 0..3 {
            assert_eq!(bells.next(), Some(Crate));
            bells.of(0).wake_by_ref();
            assert_eq!(bells.next(), Some(Stream(0)));
            bells.of_crate().wake();
        }
        assert_eq!(bells.next(), Some(Crate));
        assert_eq!(bells.next(), None);
        check(&woken, 0);
    }

    #[test]
    fn whoever_rings_himself_waits_for_the_next_turn_for_which_the_task_is_woken_once() {
        let (mut bells, woken) = rested();
        bells.of(0).wake_by_ref();
        begin(&bells, &woken);
        check(&woken, 1);
        assert_eq!(bells.next(), Some(Stream(0)));
        bells.of(0).wake_by_ref();
        bells.of_crate().wake();
        assert_eq!(bells.next(), Some(Crate));
        bells.of_crate().wake();
        bells.of(1).wake_by_ref();
        assert_eq!(bells.next(), Some(Stream(1)));
        check(&woken, 0);
        assert_eq!(bells.next(), None);
        check(&woken, 1);
        begin(&bells, &woken);
        for next in [Some(Stream(0)), Some(Crate), None] {
            assert_eq!(bells.next(), next);
        }
        check(&woken, 0);
    }

    #[test]
    fn a_crate_that_waits_is_looked_at_when_a_stream_has_something_for_it() {
        let (mut bells, woken) = rested();
        bells.of_crate().wake();
        begin(&bells, &woken);
        assert_eq!(bells.next(), Some(Crate));
        bells.of_crate().wake();
        bells.of(0).wake_by_ref();
        assert_eq!(bells.next(), Some(Stream(0)));
        bells.of_crate().wake();
        assert_eq!(bells.next(), Some(Crate));
        assert_eq!(bells.next(), None);
        check(&woken, 1);
    }

    #[test]
    fn those_who_go_on_ringing_each_other_let_others_have_a_turn() {
        let (mut bells, woken) = rested();
        bells.of_crate().wake();
        check(&woken, 1);
        for _ in 0..3 {
            begin(&bells, &woken);
            for _ in 0..LOOKS_MAX {
                assert_eq!(bells.next(), Some(Crate));
                bells.of(0).wake_by_ref();
                assert_eq!(bells.next(), Some(Stream(0)));
                bells.of_crate().wake();
            }
            assert_eq!(bells.next(), None);
            check(&woken, 1);
        }
    }

    #[test]
    fn nobody_is_woken_for_a_stream_that_has_ended() {
        let (mut bells, woken) = rested();
        bells.of(2).wake_by_ref();
        begin(&bells, &woken);
        check(&woken, 1);
        assert_eq!(bells.next(), Some(Stream(2)));
        bells.of(2).wake_by_ref();
        bells.forget(2);
        bells.forget(2);
        assert_eq!(bells.next(), None);
        check(&woken, 0);
        bells.of(2).wake_by_ref();
        check(&woken, 1);
    }
}
