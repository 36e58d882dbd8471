//! Answers of which a piece has been given to the wire, and may not have left it.
//!
//! The crate lets go of a piece when the wire has taken it, and the wire writes it a little later
//! together with others. Until then its answer is held here: it is settled when it has left.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::delivery::Carried;

/// What is on its way into one connection's socket.
#[derive(Default)]
pub(super) struct Underway(Mutex<State>);

#[derive(Default)]
struct State {
    answers: SmallVec<[Hold; 4]>,
    /// The wire has ended, and nothing leaves it any more.
    ended: bool,
}

/// Holds on to an answer.
struct Hold(Arc<Carried>);

// === impl Underway ===

impl Underway {
    /// A piece of `answer` waits to be written. One that comes too late is lost.
    pub(super) fn add(&self, answer: Arc<Carried>) {
        let mut state = self.0.lock();
        if !state.ended {
            return state.answers.push(Hold(answer));
        }
        drop(state);
        answer.lose();
        answer.let_go();
    }

    /// All of them have left.
    pub(super) fn left(&self) {
        let left = std::mem::take(&mut self.0.lock().answers);
        // Outside of the lock, since this settles them.
        drop(left);
    }

    /// Those that have not left are lost, and so are all that come.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.ended = true;
        let lost = std::mem::take(&mut state.answers);
        drop(state);
        lost.iter().for_each(|hold| hold.0.lose());
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
