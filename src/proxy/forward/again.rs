//! Whether a request whose attempt failed is sent again.
//!
//! The rules are pure (`policy/retry`); here they are told what is known of the request, its pool
//! and the time, and a retry that they grant is paid for and counted.

use std::time::Instant as Clock;

use http::{HeaderMap, Method, Response, StatusCode, request::Parts};
use tokio::time::Instant;

use super::{Journey, headers};
use crate::{
    fault::Fault,
    meters::Retry,
    policy::retry::{Failure, Situation},
    proxy::{exchange::Exchange, upload::Upload},
};

// === impl Journey ===

impl Journey<'_> {
    /// Whether another attempt is made after this failure. If so, it is paid for and counted, and
    /// what it may try is left in `tried`.
    pub(super) fn goes_on(&mut self, failure: Failure) -> bool {
        let Some(pool) = self.exchange.pool() else { return false };
        let Some(policy) = &pool.config.retry else { return false };
        let situation = Situation {
            attempts: self.exchange.attempts(),
            repeatable: self.repeatable,
            body_whole: self.upload.can_be_sent_again(),
            in_time: Instant::now() < self.total_at,
        };
        if !policy.wants(failure, situation) {
            return false;
        }
        let elsewhere = pool.upstream.has_usable_beside(&self.tried);
        let useful = elsewhere
            || match failure {
                // Nobody listens where it was tried; one that is thought unwell may be well again.
                Failure::Connect => pool.upstream.has_any_beside(&self.tried),
                // An endpoint that closes a connection or says 503 may do better at once.
                Failure::Broken | Failure::Status(_) => true,
                // One that is late would be late again, with twice the work.
                Failure::FirstByte => false,
            };
        let worker = self.exchange.worker();
        if !useful {
            return false;
        }
        if !pool.upstream.retries().take(Clock::now(), policy) {
            pool.meter.retry_refused(worker.index);
            return false;
        }
        if !elsewhere && failure != Failure::Connect {
            self.tried.clear();
        }
        // The next attempt may be given the very slot that this one had.
        self.exchange.give_back(None);
        self.exchange.retried(reason(failure));
        true
    }

    /// Whether another pool takes what its audience's own could not connect to. Nothing of it has
    /// been sent; what it may take there is bounded, and nobody's budget for retries pays for it.
    pub(super) fn goes_away(&mut self, failure: Failure, fault: Fault) -> bool {
        let lost = failure == Failure::Connect && self.exchange.may_go_away();
        if !lost || self.lost.is_some() || Instant::now() >= self.total_at {
            return false;
        }
        self.exchange.give_back(None);
        self.lost = Some(fault);
        true
    }

    /// Whether the monolith's answer is left for another attempt.
    pub(super) fn is_left(&mut self, status: StatusCode) -> bool {
        let policy = self.exchange.pool().and_then(|pool| pool.config.retry.as_ref());
        let listed = policy.is_some_and(|policy| policy.on_statuses.contains(&status.as_u16()));
        listed && self.goes_on(Failure::Status(status.as_u16()))
    }

    /// Remembers whether the monolith says that such a request may be sent twice.
    pub(super) fn learn(&self, response: &Response<()>) {
        let Some(pool) = self.exchange.pool() else { return };
        let routes = pool.upstream.retries().routes();
        let safe = headers::says_safe(response.headers());
        // What failed says nothing, and what is idempotent needs no word.
        let speaks = safe || !routes.is_empty() && !response.status().is_server_error();
        if speaks && !is_idempotent(&self.head.method) {
            routes.learn(self.head.method.as_str(), self.head.uri.path(), safe);
        }
    }
}

/// Whether doing it twice is doing it once (RFC 9110 §9.2.2), as far as the request or the monolith
/// says, and the body is still there for it.
pub(super) fn is_repeatable(exchange: &Exchange, head: &Parts, upload: &Upload) -> bool {
    let said = || {
        let pool = exchange.pool();
        let routes = pool.map(|pool| pool.upstream.retries().routes());
        routes.is_some_and(|routes| routes.is_safe(head.method.as_str(), head.uri.path()))
    };
    let safe = is_idempotent(&head.method) || has_idempotency_key(&head.headers) || said();
    safe && upload.can_be_sent_again()
}

fn reason(failure: Failure) -> Retry {
    match failure {
        Failure::Connect => Retry::ConnectFailed,
        Failure::Broken => Retry::Broken,
        Failure::FirstByte => Retry::FirstByteTimeout,
        Failure::Status(_) => Retry::Status,
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}

fn has_idempotency_key(headers: &HeaderMap) -> bool {
    headers.contains_key("idempotency-key")
}
