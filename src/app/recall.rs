//! What is told of a request that somebody asks about by its id.

use std::time::{Duration, SystemTime};

use super::sight::rfc3339;
use crate::{
    control::{AttemptView, RequestView, RequestsView},
    fault::Fault,
    name::Name,
    proxy::memory::{Ended, Memory, Reach, Remembered, Short, Try},
    upstream::Endpoints,
};

/// The requests with the id `request_id`.
///
/// # Errors
///
/// There is none. The sentence says how far back it would be known.
pub(super) fn requests(
    memory: &Memory,
    endpoints: &Endpoints,
    request_id: &str,
) -> Result<RequestsView, String> {
    if !memory.is_on() {
        return Err("Nothing is remembered here: the configuration says `why: off`.".to_owned());
    }
    let found = memory.find(request_id);
    if found.is_empty() {
        return Err(not_found(memory.reach(), SystemTime::now()));
    }
    let requests = found.iter().map(|request| view(request, endpoints)).collect();
    Ok(RequestsView { requests })
}

/// How far back usher remembers, for whoever asked for more.
fn not_found(reach: Reach, now: SystemTime) -> String {
    let since = |at: Option<SystemTime>| match at {
        None => "since the start".to_owned(),
        Some(at) => {
            let ago = now.duration_since(at).unwrap_or_default().as_secs();
            format!("since {} ({ago} s ago)", rfc3339(at))
        }
    };
    format!(
        "No request with this id is remembered. Those that went wrong are remembered {}, all \
         others {}; one that is still under way is told once it has ended. A replica remembers its \
         own.",
        since(reach.wrong),
        since(reach.well),
    )
}

fn view(request: &Remembered, endpoints: &Endpoints) -> RequestView {
    let rule = request.rule.and_then(|rule| request.told.labels.get(rule as usize));
    let text = |text: String| (!text.is_empty()).then_some(text);
    let operation = request.operation.as_ref().and_then(|operation| operation.shown());
    let times = request.times;
    RequestView {
        request_id: request.request_id.text(),
        time: rfc3339(request.at),
        client: request.client.to_string(),
        method: text(request.method.text()),
        path: text(request.path.text()),
        operation: operation.map(str::to_owned),
        generation: request.told.generation,
        audience: request.told.audience.to_string(),
        rule: rule.map(ToString::to_string),
        pool: request.told.pool.to_string(),
        fallback: request.told.fallback.as_ref().filter(|_| request.away).map(Name::to_string),
        status: request.status.map(|status| status.as_u16()),
        outcome: request.outcome.name().to_owned(),
        fault: request.fault.map(|fault| fault.name().to_owned()),
        blame: request.fault.map(|fault| fault.blame().name().to_owned()),
        attempts: request.tries.all().iter().map(|tried| attempt(tried, endpoints)).collect(),
        bytes_in: request.bytes_in,
        bytes_out: request.bytes_out,
        paused_ms: milliseconds(times.paused),
        queue_ms: milliseconds(times.queue),
        connect_ms: milliseconds(times.connect),
        first_byte_ms: milliseconds(times.first_byte),
        upstream_ms: milliseconds(times.upstream),
        total_ms: milliseconds(times.total),
    }
}

fn attempt(tried: &Try, endpoints: &Endpoints) -> AttemptView {
    let ended = match tried.ended {
        Ended::Open => "open",
        Ended::Answered => "answered",
        Ended::Unconnected => "no_connection",
        Ended::Fault(fault) => Fault::name(fault),
    };
    let gone = || format!("an endpoint that has gone (number {})", tried.endpoint);
    AttemptView {
        endpoint: endpoints.text(tried.endpoint).unwrap_or_else(gone),
        ended: ended.to_owned(),
        replayed: tried.replayed,
        took_ms: milliseconds(tried.took),
    }
}

/// With the microseconds behind the point.
fn milliseconds(time: Short) -> Option<f64> {
    time.get().map(|time: Duration| time.as_micros() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_more_than_is_remembered_is_told_how_far_back_it_goes() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let told = not_found(Reach { well: Some(at(88)), wrong: None }, at(100));
        assert!(told.contains("went wrong are remembered since the start"), "{told}");
        assert!(told.contains("all others since 1970-01-01T00:01:28.000Z (12 s ago)"), "{told}");
    }
}
