//! A request that panics takes nothing with it but itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// The work panicked. Its exchange was settled while the stack was unwound.
#[derive(Clone, Copy, Debug)]
pub struct Panicked;

/// Work whose panic is caught.
///
/// What it owned is dropped by the unwinding, so that nothing that may be half-done is looked at
/// again. It is a future by hand: an `async` function would have room for its work three times, as
/// its argument, as what it pins and as what it awaits.
pub struct Caught<T>(Pin<Box<dyn Future<Output = T> + Send>>);

/// Runs `work`, and catches its panic.
pub fn caught<T>(work: impl Future<Output = T> + Send + 'static) -> Caught<T> {
    Caught(Box::pin(work))
}

// === impl Caught ===

impl<T> Future for Caught<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Panicked>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_other_work_goes_on() {
        assert!(caught(async { panic!("on purpose") }).await.map(|(): ()| ()).is_err());
        assert_eq!(caught(async { 7 }).await.ok(), Some(7));
    }
}
