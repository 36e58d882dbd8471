//! A request that panics takes nothing with it but itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// The work panicked. Its exchange was settled while the stack was unwound.
#[derive(Clone, Copy, Debug)]
pub struct Panicked;

/// Runs `work`, and catches its panic.
///
/// What `work` owned is dropped by the unwinding, so that nothing that may be half-done is looked
/// at again.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
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
