//! Heads of answers that are not passed on.

use http::{Response, StatusCode};

use crate::{fault::Fault, proxy::headers};

/// Why an answer may not be passed on.
pub(super) fn unfit(response: &Response<()>, agreed: bool) -> Option<Fault> {
    let headers = response.headers();
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if headers::hands_over_a_file(headers) {
        Some(Fault::SendfileAnswer)
    } else {
        (switches && !agreed).then_some(Fault::UpstreamUpgrade)
    }
}
