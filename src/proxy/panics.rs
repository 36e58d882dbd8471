//! A request that panics takes nothing with it but itself.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderValue;

use super::{asked::Asked, reply::Form, request_id::RequestId};

thread_local! {
    /// What the exchange that was settled while this thread unwound has left behind.
    static LEFT: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// The work panicked. Its exchange was settled while the stack was unwound; this is what the answer
/// needs of it.
#[derive(Clone, Debug)]
pub struct Panicked {
    /// The request's name in all logs.
    pub request_id: RequestId,
    /// How its client wants to be told.
    pub form: Form,
    /// Whether the fault is named in a header.
    pub fault_header: bool,
}

/// Work whose panic is caught.
///
/// What it owned is dropped by the unwinding, so that nothing that may be half-done is looked at
/// again. It is a future by hand: an `async` function would have room for its work three times, as
/// its argument, as what it pins and as what it awaits.
pub struct Caught<T>(Pin<Box<dyn Future<Output = T> + Send>>);

/// Runs the work that `begin` makes, and catches its panic. It is made in the memory where it
/// stays: to be made elsewhere, all of its room would be copied for the little that is in it.
pub fn caught<F>(begin: impl FnOnce() -> F) -> Caught<F::Output>
where
    F: Future + Send + 'static,
{
    let work: Box<F> = Box::write(Box::new_uninit(), begin());
    Caught(Box::into_pin(work))
}

// === impl Caught ===

impl<T> Future for Caught<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Panicked>> {
        // Written from within: what a closure gives back would be copied twice on its way out.
        let mut polled = Poll::Pending;
        let caught = catch_unwind(AssertUnwindSafe(|| polled = self.0.as_mut().poll(cx)));
        match caught {
            Ok(()) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(LEFT.take().unwrap_or_default())),
        }
    }
}

/// Leaves what the answer needs to know about the request that is being unwound.
pub fn leave(asked: &Asked, fault_header: bool) {
    let (request_id, form) = (asked.request_id.clone(), asked.form);
    LEFT.set(Some(Panicked { request_id, form, fault_header }));
}

// === impl Panicked ===

impl Default for Panicked {
    /// Of a request whose exchange had not been opened: there is nothing to find it by.
    fn default() -> Self {
        let request_id = RequestId::Given(HeaderValue::from_static("unknown"));
        Self { request_id, form: Form::Problem, fault_header: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_other_work_goes_on() {
        assert!(caught(|| async { panic!("on purpose") }).await.map(|(): ()| ()).is_err());
        assert_eq!(caught(|| async { 7 }).await.ok(), Some(7));
    }
}
