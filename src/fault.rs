//! Why a request was not served by the monolith as asked.
//!
//! The names are public and closed: the answer's body, `X-Usher-Fault`, the access log, the metric
//! and `docs/faults.md` use the same word. A fault never names an endpoint.

use std::fmt;

use http::{Method, StatusCode};

/// Whose doing a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Blame {
    /// The client sent what no one may send, came too often, or left.
    Client,
    /// usher had no room, no endpoint or no right to go on.
    Usher,
    /// The monolith broke, was late or said what it may not say.
    Upstream,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The monolith's answer went out whole, whatever its status.
    Served,
    /// usher answered by policy.
    Refused,
    /// The upstream or usher broke.
    Failed,
    /// The client left.
    Abandoned,
}

macro_rules! faults {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident $name:literal $blame:ident $outcome:ident $status:literal,
    )+) => {
        /// A reason why a request was not served by the monolith as asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Fault {
            /// Every fault there is, in the order of `docs/faults.md`.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)+];

            /// The public name.
            pub const fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)+ }
            }

            /// Whose doing it is.
            pub const fn blame(self) -> Blame {
                match self { $(Fault::$variant => Blame::$blame,)+ }
            }

            /// How a request with this fault ended.
            pub const fn outcome(self) -> Outcome {
                match self { $(Fault::$variant => Outcome::$outcome,)+ }
            }

            /// The status of the made-up answer. 499 is never sent: it stands in the log only.
            pub fn status(self) -> StatusCode {
                let code: u16 = match self { $(Fault::$variant => $status,)+ };
                StatusCode::from_u16(code).expect("the table holds valid codes")
            }

            /// One sentence for the client, free of anything about endpoints.
            pub const fn detail(self) -> &'static str {
                match self { $(Fault::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

faults! {
    /// The request's head is not HTTP/1.1 as RFC 9112 defines it.
    MalformedHead "malformed_head" Client Refused 400,
    /// The request does not name exactly one valid host.
    BadHost "bad_host" Client Refused 400,
    /// The request's target is not one that this service can be asked for.
    BadTarget "bad_target" Client Refused 400,
    /// The path holds a segment or a byte that two readers could understand differently.
    AmbiguousPath "ambiguous_path" Client Refused 400,
    /// The request does not say unambiguously where its body ends.
    BadFraming "bad_framing" Client Refused 400,
    /// The request's body breaks the chunked coding.
    BadChunk "bad_chunk" Client Refused 400,
    /// The request speaks a version of HTTP that is not served here.
    BadVersion "bad_version" Client Refused 400,
    /// The request expects something other than 100-continue.
    BadExpectation "bad_expectation" Client Refused 400,
    /// The request asks for an upgrade that cannot be carried.
    BadUpgrade "bad_upgrade" Client Refused 400,
    /// The request came in plain text and is to come by https.
    HttpsRequired "https_required" Client Refused 308,
    /// The request is for a host that this address has no certificate for.
    Misdirected "misdirected" Client Refused 421,
    /// The request asks for a version of the WebSocket protocol other than 13.
    WebsocketVersion "websocket_version" Client Refused 426,
    /// This version of the app is older than the service supports; a newer one is needed.
    VersionTooOld "version_too_old" Client Refused 426,
    /// The audience of this request admits only those who prove who they are.
    Unidentified "unidentified" Client Refused 401,
    /// What this request carries to prove who asks does not hold.
    InvalidIdentity "invalid_identity" Client Refused 401,
    /// The audience of this request does not admit this client.
    NotAdmitted "not_admitted" Client Refused 403,
    /// The method is not one that this service forwards.
    MethodNotAllowed "method_not_allowed" Client Refused 405,
    /// The request's head did not arrive in time.
    HeadTimeout "head_timeout" Client Refused 408,
    /// The request's body arrived more slowly than the lowest rate allowed.
    BodyTimeout "body_timeout" Client Refused 408,
    /// The request's body is larger than allowed.
    BodyTooLarge "body_too_large" Client Refused 413,
    /// The request's target is longer than allowed.
    TargetTooLong "target_too_long" Client Refused 414,
    /// The request's head has more bytes or fields than allowed.
    HeadTooLarge "head_too_large" Client Refused 431,
    /// This client asks more often than it may.
    ClientRateLimited "client_rate_limited" Client Refused 429,
    /// The client left before it had its answer.
    ClientLeft "client_left" Client Abandoned 499,
    /// The client took its answer more slowly than allowed.
    ClientStalled "client_stalled" Client Abandoned 499,
    /// The request passed through this very proxy before.
    LoopDetected "loop_detected" Usher Refused 508,
    /// A request made usher panic; this is a defect of usher.
    Panicked "panicked" Usher Failed 500,
    /// The service is paused, and this request could not wait any longer.
    Paused "paused" Usher Refused 503,
    /// The service is down for maintenance.
    Maintenance "maintenance" Usher Refused 503,
    /// More is asked of this service than it allows at a time.
    RateLimited "rate_limited" Usher Refused 429,
    /// There is no room to keep the request's body.
    BufferFull "buffer_full" Usher Refused 503,
    /// There are as many tunnels as allowed.
    TunnelLimit "tunnel_limit" Usher Refused 503,
    /// As many requests wait for this service as may.
    QueueFull "queue_full" Usher Refused 503,
    /// The request has waited for this service for as long as it may.
    QueueTimeout "queue_timeout" Usher Refused 503,
    /// There are as many streams of events as allowed.
    StreamLimit "stream_limit" Usher Refused 503,
    /// The service was shutting down and could not finish this request.
    Draining "draining" Usher Failed 503,
    /// No connection to the service behind could be made.
    NoEndpoint "no_endpoint" Usher Failed 503,
    /// There was no room for another connection to the service behind.
    NoDescriptor "no_descriptor" Usher Failed 503,
    /// The service behind broke before its answer was complete.
    UpstreamBroke "upstream_broke" Upstream Failed 502,
    /// The service behind sent an answer that is not HTTP.
    UpstreamMalformed "upstream_malformed" Upstream Failed 502,
    /// The service behind switched protocols without being asked to, or not as it was asked.
    UpstreamUpgrade "upstream_upgrade" Upstream Failed 502,
    /// The service behind told the proxy to send a file, which this proxy does not do.
    SendfileAnswer "sendfile_answer" Upstream Failed 502,
    /// The service behind did not begin its answer in time.
    FirstByteTimeout "first_byte_timeout" Upstream Failed 504,
    /// The request took longer than it may in all.
    TotalTimeout "total_timeout" Upstream Failed 504,
    /// The service behind paused too long within its answer.
    BetweenBytesTimeout "between_bytes_timeout" Upstream Failed 504,
}

// === impl Fault ===

impl Fault {
    /// The status of the made-up answer to a request with `method`: a GET is sent elsewhere with
    /// the 301 that every client understands, all else with the 308 that keeps method and body.
    pub fn status_for(self, method: Option<&Method>) -> StatusCode {
        match (self, method) {
            (Fault::HttpsRequired, Some(&Method::GET | &Method::HEAD)) => {
                StatusCode::MOVED_PERMANENTLY
            }
            (fault, _) => fault.status(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A body ends with a fault, and hyper wants an error there.
impl std::error::Error for Fault {}

// === impl Blame ===

impl Blame {
    /// The word used in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Blame::Client => "client",
            Blame::Usher => "usher",
            Blame::Upstream => "upstream",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Outcome; 4] =
        [Outcome::Served, Outcome::Refused, Outcome::Failed, Outcome::Abandoned];

    /// The word used in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Served => "served",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Abandoned => "abandoned",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_status_that_fits_its_blame() {
        let mut names = HashSet::new();
        for fault in Fault::ALL {
            assert!(names.insert(fault.name()), "{} stands twice", fault.name());
            let by_client = fault.blame() == Blame::Client;
            let status = fault.status();
            let fits = status.is_client_error() || status.is_redirection();
            // Who is the last of many does nothing wrong, and is told what all clients understand.
            let told_alike = *fault == Fault::RateLimited;
            assert!(by_client == fits || told_alike, "{}", fault.name());
            assert!(fault.detail().ends_with('.'), "{}", fault.name());
        }
    }
}
