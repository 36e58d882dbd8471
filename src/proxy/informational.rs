//! Interim answers (1xx) on their way from the monolith to the client.

use http::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc;

use crate::body::Body;

/// The most interim answers that wait for a client; more are dropped.
const WAITING_MAX: usize = 16;

/// Where the monolith's interim answers go. A door puts it into a request's extensions when its
/// client can be sent any.
#[derive(Clone, Debug)]
pub struct Informational(mpsc::Sender<(StatusCode, HeaderMap)>);

/// Where a door takes interim answers from.
#[derive(Debug)]
pub struct Informations(mpsc::Receiver<(StatusCode, HeaderMap)>);

// === impl Informational ===

impl Informational {
    /// Both ends.
    pub fn channel() -> (Self, Informations) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), Informations(receiver))
    }

    /// Has hyper hand over what comes for `request`.
    ///
    /// 100 Continue is not passed on: usher has sent its own when it read the body.
    pub fn attach(&self, request: &mut Request<Body>) {
        let sender = self.0.clone();
        hyper::ext::on_informational(request, move |response| {
            let status = response.status();
            if status != StatusCode::CONTINUE && status != StatusCode::SWITCHING_PROTOCOLS {
                // A client that reads slowly loses early hints, not its answer.
                let _ = sender.try_send((status, response.headers().clone()));
            }
        });
    }
}

// === impl Informations ===

impl Informations {
    /// The next one, as soon as there is one; never ready when there are no more.
    pub async fn next(&mut self) -> (StatusCode, HeaderMap) {
        match self.0.recv().await {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }

    /// The next one, if it is there already.
    pub fn try_next(&mut self) -> Option<(StatusCode, HeaderMap)> {
        self.0.try_recv().ok()
    }
}
