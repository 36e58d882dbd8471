//! How a pool finds out which endpoints are well, and when it asks again.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::house::positive;
use crate::{
    config::{
        Ejection, Health,
        document::{
            self, At, EjectionOrOff, Named, Or, PercentLeaf, Reader, Reason, RetryOrOff, Words,
            header_name,
        },
    },
    policy::retry::{self, ATTEMPTS_MAX},
    units::Percent,
};

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const HEADERS_MAX: usize = 32;

/// How endpoints are asked.
pub(super) fn health(
    at: Option<&At<document::Health>>,
    reader: &mut Reader,
) -> Option<Arc<Health>> {
    let At { value, .. } = at?;
    let default = Health::default();
    let interval = positive(value.interval.as_ref(), default.interval, reader);
    if let Some(at) = value.interval.as_ref().filter(|_| interval < INTERVAL_MIN) {
        reader.error(at.span, "endpoints are asked every 100ms at most");
    }
    let timeout = positive(value.timeout.as_ref(), default.timeout, reader);
    let statuses: Option<Vec<_>> =
        value.status.as_ref().map(|at| at.value.items.iter().map(|s| s.value.0.clone()).collect());
    let health = Health {
        path: path(value.path.as_ref(), reader).unwrap_or(default.path),
        host: value.host.as_ref().and_then(|at| host(at, reader)),
        method: value.method.as_ref().map_or(default.method, |at| method(at, reader)),
        headers: headers(value.headers.as_ref(), default.headers, reader),
        statuses: statuses.filter(|some| !some.is_empty()).unwrap_or(default.statuses),
        body: value.body.as_ref().map(|at| at.value.pattern.clone()),
        interval,
        jitter: share(value.jitter.as_ref(), default.jitter),
        timeout,
        rise: value.rise.as_ref().map_or(default.rise, |at| at.value.0),
        fall: value.fall.as_ref().map_or(default.fall, |at| at.value.0),
        port: value.port.as_ref().map(|at| at.value.0),
        plain: value.plain.as_ref().is_some_and(|at| at.value.0),
    };
    if let Some(at) = value.body.as_ref().filter(|_| health.method == Method::HEAD) {
        reader.error_with(at.key, "an answer to HEAD has no body", "write `method: GET`");
    }
    if let Some(at) = value.timeout.as_ref().filter(|_| timeout > interval) {
        let message = "`timeout` is longer than `interval`: an endpoint is asked again only after";
        reader.warn(at.span, message, "lower `timeout`, or raise `interval`");
    }
    Some(Arc::new(health))
}

fn path(at: Option<&At<Words>>, reader: &mut Reader) -> Option<String> {
    let at = at?;
    let text = &at.value.0;
    let fits = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !fits {
        let hint = "write for example `/up`; what is not ASCII as `%…`";
        reader.error_with(at.span, "a path begins with `/` and has no spaces", hint);
    }
    fits.then(|| text.clone())
}

fn host(at: &At<Words>, reader: &mut Reader) -> Option<HeaderValue> {
    let fits = |text: &String| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
    };
    let host = Some(&at.value.0).filter(|text| fits(text));
    let host = host.and_then(|text| HeaderValue::from_str(text).ok());
    if host.is_none() {
        let hint = "write the name alone, such as `shop.example.com`";
        reader.error_with(at.span, "this is not what a `Host` may be", hint);
    }
    host
}

fn method(at: &At<Words>, reader: &mut Reader) -> Method {
    let text = &at.value.0;
    let known = Method::from_bytes(text.as_bytes()).ok();
    let known = known.filter(|method| *method != Method::CONNECT);
    if let Some(method) = known.filter(|method| method.is_safe()) {
        return method;
    }
    let hint = "write `GET`, `HEAD` or `OPTIONS`: a check must change nothing";
    reader.error_with(at.span, "this is not a method that a check may use", hint);
    Method::GET
}

fn headers(
    at: Option<&At<Named<Words>>>,
    mut headers: HeaderMap,
    reader: &mut Reader,
) -> HeaderMap {
    let Some(at) = at else { return headers };
    super::bounded(at.value.entries.len(), HEADERS_MAX, "headers", at.key, reader);
    for (name, words) in &at.value.entries {
        let field = header_name(&name.value).zip(HeaderValue::from_str(&words.0).ok());
        let Some((known, value)) = field else {
            let message = format!("`{}` is not a header that can be sent", name.value);
            reader.error(name.span, message);
            continue;
        };
        if let Some(hint) = reserved(&known) {
            reader.error_with(name.span, format!("`{}` is set by usher", name.value), hint);
        }
        headers.insert(known, value);
    }
    headers
}

fn reserved(name: &HeaderName) -> Option<&'static str> {
    let is_reserved = Health::RESERVED.contains(name);
    is_reserved.then_some(if name == http::header::HOST {
        "write `host:` beside `headers:`"
    } else {
        "leave it out"
    })
}

fn share(at: Option<&At<PercentLeaf>>, default: Percent) -> Percent {
    at.map_or(default, |at| at.value.0)
}

/// When an endpoint gets no requests.
pub(super) fn ejection(at: Option<&At<EjectionOrOff>>, reader: &mut Reader) -> Option<Ejection> {
    let default = Ejection::default();
    let value = match at.map(|at| &at.value) {
        None => return Some(default),
        Some(Or::Word(_)) => return None,
        Some(Or::Value(value)) => value,
    };
    let count =
        |at: &Option<At<document::Count>>, default| at.as_ref().map_or(default, |at| at.value.0);
    let ejection = Ejection {
        consecutive: count(&value.consecutive, default.consecutive),
        ratio: share(value.ratio.as_ref(), default.ratio),
        requests: count(&value.requests, default.requests),
        window: positive(value.window.as_ref(), default.window, reader),
        hold: positive(value.hold.as_ref(), default.hold, reader),
        hold_max: positive(value.hold_max.as_ref(), default.hold_max, reader),
        share: share(value.share.as_ref(), default.share),
    };
    if let Some(at) = value.ratio.as_ref().filter(|at| at.value.0.ratio() <= 0.0) {
        reader.error_with(at.span, "0% would eject every endpoint", "write for example `50%`");
    }
    if let Some(at) = value.hold.as_ref().or(value.hold_max.as_ref())
        && ejection.hold > ejection.hold_max
    {
        let message = "`hold` is longer than `hold_max`";
        reader.error_with(at.key, message, "raise `hold_max` or lower `hold`");
    }
    Some(ejection)
}

/// When a request is sent again.
pub(super) fn retry(at: Option<&At<RetryOrOff>>, reader: &mut Reader) -> Option<retry::Policy> {
    let default = retry::Policy::default();
    let value = match at.map(|at| &at.value) {
        None => return Some(default),
        Some(Or::Word(_)) => return None,
        Some(Or::Value(value)) => value,
    };
    if let Some(at) = value.attempts.as_ref().filter(|at| at.value.0 > ATTEMPTS_MAX) {
        let hint = "more of them would multiply the load of an endpoint that is down";
        reader.error_with(at.span, format!("{ATTEMPTS_MAX} attempts are the most"), hint);
    }
    let lowered = retry::Policy {
        attempts: value.attempts.as_ref().map_or(default.attempts, |at| at.value.0),
        budget: share(value.budget.as_ref(), default.budget),
        per_second: value.per_second.as_ref().map_or(default.per_second, |at| at.value.0),
        ..default
    };
    let Some(on) = &value.on else { return Some(lowered) };
    let reasons: Vec<Reason> = on.value.items.iter().map(|reason| reason.value).collect();
    let status = |reason: &Reason| match reason {
        Reason::Status(status) => Some(*status),
        Reason::Connect | Reason::Broken | Reason::FirstByte => None,
    };
    Some(retry::Policy {
        on_connect: reasons.contains(&Reason::Connect),
        on_broken: reasons.contains(&Reason::Broken),
        on_first_byte: reasons.contains(&Reason::FirstByte),
        on_statuses: reasons.iter().filter_map(status).collect(),
        ..lowered
    })
}
