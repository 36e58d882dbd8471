//! Which versions of its app an audience serves.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::audiences::read_page;
use crate::{
    classify::{PathPattern, VersionSource},
    config::{
        VersionAnswer, Versions,
        document::{
            self, At, BrownoutStep, Document, Named, OneOrMany, Reader, VersionPlace, Words,
            header_name,
        },
        source::Span,
    },
    policy::versions::{Policy, Schedule, Step},
    units::Percent,
};

/// The most places where a version may stand.
const PLACES_MAX: usize = 8;
/// The most steps of a brown-out.
const STEPS_MAX: usize = 100;
/// The most paths that are exempt, and fields of an answer.
const VALUES_MAX: usize = 100;
/// The largest body of an answer that stands in the configuration itself.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Fields that usher writes itself, or that would say something of the connection.
const OWN_FIELDS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("x-request-id"),
];

/// Where a version stands, as far as that is said for all audiences.
pub(super) fn everywhere(document: &Document, reader: &mut Reader) -> Option<Arc<[VersionSource]>> {
    let from = document.versions.as_ref()?.value.from.as_ref()?;
    Some(places(from, reader))
}

/// Where a version stands.
fn places(from: &At<OneOrMany<VersionPlace>>, reader: &mut Reader) -> Arc<[VersionSource]> {
    let list = &from.value;
    if list.empty {
        let hint = "write for example `[{ header: X-App-Version }, { user_agent: Shop/ }]`";
        reader.error_with(from.span, "nothing says where the version stands", hint);
    }
    super::bounded(list.items.len(), PLACES_MAX, "places", from.span, reader);
    list.items.iter().filter_map(|place| source(place, reader)).collect()
}

fn source(place: &At<VersionPlace>, reader: &mut Reader) -> Option<VersionSource> {
    let VersionPlace { written, header, user_agent } = &place.value;
    if written.len() != 1 {
        let message = "a version stands in one place";
        reader.error_with(place.span, message, "write either `header` or `user_agent`");
        return None;
    }
    let header = header.as_ref().map(|at| VersionSource::Header(at.value.0.clone()));
    header.or_else(|| Some(VersionSource::UserAgent(user_agent.as_ref()?.value.0.clone())))
}

/// Lowers what an audience says, over what is said for all.
pub(super) fn lower(at: Option<&At<document::Versions>>, reader: &mut Reader) -> Option<Versions> {
    let everywhere = reader.versions.clone();
    let Some(at) = at else {
        let from = everywhere?;
        return Some(Versions {
            from,
            policy: Policy::default(),
            warn_since: Duration::ZERO,
            exempt: Vec::new(),
            answer: answer(None, reader),
        });
    };
    let written = &at.value;
    let own = written.from.as_ref().map(|from| places(from, reader));
    if own.is_none() && everywhere.is_none() {
        let message = "nothing says where the version stands";
        let hint = "write `from: [{ header: X-App-Version }]` here, or under `versions:` at the \
                    top level for all audiences";
        reader.error_with(at.key, message, hint);
    }
    let policy = Policy {
        min: written.min.as_ref().map(|at| at.value.0),
        warn_below: written.warn_below.as_ref().map(|at| at.value.0),
        unknown_is_old: written.unknown.as_ref().is_some_and(|at| at.value.refused),
        brownout: written.brownout.as_ref().and_then(|at| schedule(at, reader)),
    };
    agrees(written, &policy, reader);
    Some(Versions {
        from: own.or(everywhere)?,
        policy,
        warn_since: written.warn_since.as_ref().map_or(Duration::ZERO, |at| at.value.0),
        exempt: written.exempt.as_ref().map(|at| exempt(at, reader)).unwrap_or_default(),
        answer: answer(written.answer.as_ref(), reader),
    })
}

fn exempt(
    at: &At<OneOrMany<document::Pattern<PathPattern>>>,
    reader: &mut Reader,
) -> Vec<PathPattern> {
    super::bounded(at.value.items.len(), VALUES_MAX, "paths", at.span, reader);
    at.value.items.iter().map(|at| at.value.pattern.clone()).collect()
}

fn schedule(at: &At<OneOrMany<BrownoutStep>>, reader: &mut Reader) -> Option<Schedule> {
    let OneOrMany { items, empty } = &at.value;
    if *empty {
        let hint = "write `[{ at: 2026-12-01, share: 5% }]`, or leave `brownout` out";
        reader.error_with(at.span, "an empty list of steps", hint);
        return None;
    }
    super::bounded(items.len(), STEPS_MAX, "steps", at.span, reader);
    let steps: Vec<Step> = items.iter().filter_map(|it| step(it, reader)).collect();
    let all = steps.len() == items.len();
    let schedule = Schedule::new(steps);
    if schedule.is_none() && all {
        let message = "the steps do not stand one after the other";
        reader.error_with(at.span, message, "each begins after the one before it has ended");
    }
    schedule
}

fn step(at: &At<BrownoutStep>, reader: &mut Reader) -> Option<Step> {
    let BrownoutStep { at: begins, share, until, to, .. } = &at.value;
    if let (Some(to), None) = (to, until) {
        let message = "`to` says what the share grows to, and nothing says until when";
        reader.error_with(to.key, message, "write `until` as well, or leave `to` out");
        return None;
    }
    let (begins, share) = (begins.as_ref()?.value.0, share.as_ref()?.value.0.ratio());
    let to = to.as_ref().map_or(1.0, |to| to.value.0.ratio());
    if let Some(until) = until.as_ref().filter(|until| until.value.0 <= begins) {
        reader.error(until.span, "the share grows until a moment that is not after `at`");
        return None;
    }
    Some(Step { at: begins, share, until: until.as_ref().map(|until| (until.value.0, to)) })
}

/// What is written and has no effect, or probably not the one that was meant.
fn agrees(written: &document::Versions, policy: &Policy, reader: &mut Reader) {
    let needs_min: [(&str, Option<Span>); 4] = [
        ("brownout", written.brownout.as_ref().map(|at| at.key)),
        ("exempt", written.exempt.as_ref().map(|at| at.key)),
        ("answer", written.answer.as_ref().map(|at| at.key)),
        ("unknown", written.unknown.as_ref().filter(|at| at.value.refused).map(|at| at.key)),
    ];
    for (key, span) in needs_min.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        if !written.written.contains(&"min") {
            let message = format!("`{key}` has no effect: no version is refused without `min`");
            reader.warn(span, message, "write `min:`, the least version that is served");
        }
    }
    if let (Some(min), Some(warn_below)) = (&written.min, &written.warn_below)
        && min.value.0 >= warn_below.value.0
    {
        let message = format!("nobody is warned: all below {} are refused", min.value.0);
        reader.warn(warn_below.span, message, "`warn_below` is higher than `min`");
    }
    if let (Some(at), None, None) = (&written.warn_since, &written.warn_below, &written.min) {
        let message = "`warn_since` has no effect: nobody is warned without `warn_below`";
        reader.warn(at.key, message, "write `warn_below:`, the least version that is not");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if let (Some(at), Some(schedule)) = (&written.brownout, &policy.brownout) {
        let (end, share) = schedule.ends();
        if end <= now && share >= 1.0 {
            let message = "this brown-out is over: all below `min` are refused";
            reader.warn(at.key, message, "remove it, which means the same");
        } else if end <= now {
            let left = Percent::of_share(1.0 - share);
            let message = format!("the last step is past, and leaves {left} alone");
            reader.warn(at.key, message, "add the next step, or remove `min`");
        }
    }
}

fn answer(at: Option<&At<document::VersionAnswer>>, reader: &mut Reader) -> VersionAnswer {
    let written = at.map(|at| &at.value);
    let status = written.and_then(|it| it.status.as_ref()).map(|at| at.value.0);
    let headers = written.and_then(|it| it.headers.as_ref());
    let mut headers = headers.map(|at| fields(at, reader)).unwrap_or_default();
    let body = written.and_then(|it| body(it, reader));
    if let Some(body) = &body
        && !headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE)
    {
        headers.push((header::CONTENT_TYPE, kind_of(body)));
    }
    let status = status.unwrap_or(StatusCode::UPGRADE_REQUIRED);
    VersionAnswer { status, headers, body: body.map(Bytes::from) }
}

fn body(written: &document::VersionAnswer, reader: &mut Reader) -> Option<String> {
    if let (Some(_), Some(file)) = (&written.body, &written.file) {
        let message = "there are two bodies";
        reader.error_with(file.key, message, "write either `body` or `file`");
    }
    if let Some(at) = &written.body {
        if at.value.0.len() > BODY_BYTES_MAX {
            reader.error(at.span, format!("a body has at most {} KiB", BODY_BYTES_MAX >> 10));
        }
        return Some(at.value.0.clone());
    }
    let file = written.file.as_ref()?;
    let body = read_page(file, reader)?;
    // Part of what the configuration says, like what is written in it.
    reader.read.push(body.clone().into_bytes());
    Some(body)
}

/// What a body is, where nobody says.
fn kind_of(body: &str) -> HeaderValue {
    HeaderValue::from_static(match body.trim_start().chars().next() {
        _ if serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok() => "application/json",
        Some('<') => "text/html; charset=utf-8",
        Some(_) | None => "text/plain; charset=utf-8",
    })
}

fn fields(at: &At<Named<Words>>, reader: &mut Reader) -> Vec<(HeaderName, HeaderValue)> {
    super::bounded(at.value.entries.len(), VALUES_MAX, "fields", at.span, reader);
    let field = |(name, value): &(At<String>, Words)| {
        let Some(header) = header_name(&name.value) else {
            reader.error(name.span, format!("`{}` is not the name of a header", name.value));
            return None;
        };
        if OWN_FIELDS.contains(&header) {
            let message = format!("`{}` is not an answer's to say", name.value);
            reader.error_with(name.span, message, "remove it: usher writes it where it belongs");
            return None;
        }
        match HeaderValue::from_str(&value.0) {
            Ok(value) => Some((header, value)),
            Err(_) => {
                let message = format!("the value of `{}` cannot stand in a header", name.value);
                reader.error_with(name.span, message, "write visible ASCII on one line");
                None
            }
        }
    };
    at.value.entries.iter().filter_map(field).collect()
}
