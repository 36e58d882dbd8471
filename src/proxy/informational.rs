//! 1xx answers on their way to a client, ahead of the final one.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::headers;
use crate::http1::lines::Lines;

/// How many 1xx answers a request may have; more are dropped.
pub const INFORMATIONAL_MAX: usize = 16;

/// Passes 1xx answers on. A door hands it in with each request, and looks into it whenever it has
/// polled the request's future and there is no answer yet: whoever sends one is part of that.
///
/// 100 and 101 are not its business: the door sends the first by itself when the body is asked for,
/// and the second ends the request.
#[derive(Clone, Debug, Default)]
pub struct Informational(Arc<Shared>);

/// Hardly a request has any 1xx answer: the lock is taken only where there is one.
#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    /// Whether anything waits, or has waited.
    used: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sent: usize,
    waiting: Vec<(StatusCode, HeaderMap)>,
}

// === impl Informational ===

impl Informational {
    /// Sends an answer of the class 1xx; whether it goes. Anything else, or more than the bound, is
    /// dropped, and so is what comes after the final answer began.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) -> bool {
        let passes = status.is_informational()
            && status != StatusCode::CONTINUE
            && status != StatusCode::SWITCHING_PROTOCOLS;
        let mut inner = self.0.inner.lock();
        if !passes || self.0.closed.load(Acquire) || inner.sent == INFORMATIONAL_MAX {
            return false;
        }
        inner.sent += 1;
        self.0.used.store(true, Release);
        let mut fields = fields.clone();
        headers::toward_client(&mut fields, &mut Lines::default());
        inner.waiting.push((status, fields));
        true
    }

    /// For the next request: nothing was sent yet. Whoever still holds it for an earlier one
    /// reaches nobody.
    pub fn renew(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(shared) => {
                *shared.closed.get_mut() = false;
                if std::mem::take(shared.used.get_mut()) {
                    *shared.inner.get_mut() = Inner::default();
                }
            }
            None => self.0 = Arc::default(),
        }
    }

    /// What was sent since the last look.
    pub fn take(&self) -> Vec<(StatusCode, HeaderMap)> {
        match self.0.used.load(Acquire) {
            true => std::mem::take(&mut self.0.inner.lock().waiting),
            false => Vec::new(),
        }
    }

    /// The final answer begins: what is left goes out ahead of it, and nothing comes after.
    pub fn close(&self) -> Vec<(StatusCode, HeaderMap)> {
        self.0.closed.store(true, Release);
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_number_of_1xx_answers_passes_and_none_after_the_final_one() {
        let informational = Informational::default();
        let fields = HeaderMap::new();
        for other in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::OK] {
            assert!(!informational.send(other, &fields));
        }
        for number in 0..INFORMATIONAL_MAX + 5 {
            let goes = informational.send(StatusCode::EARLY_HINTS, &fields);
            assert_eq!(goes, number < INFORMATIONAL_MAX);
        }
        assert_eq!(informational.close().len(), INFORMATIONAL_MAX);
        assert!(!informational.send(StatusCode::EARLY_HINTS, &fields));
        assert!(informational.close().is_empty());
    }
}
