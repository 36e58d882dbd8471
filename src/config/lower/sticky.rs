//! By what a client is known again: what was written becomes what is looked for.

use std::time::Duration;

use crate::config::{
    Sticky, StickyCookie,
    document::{self, At, Reader},
};

/// The name of the cookie when none is written.
const NAME: &str = "_usher";

/// How long browsers keep it when nothing is written.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// As long as browsers keep any cookie (RFC 6265bis §5.5).
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

/// Lowers `sticky:`.
pub(super) fn lower(at: Option<&At<document::Sticky>>, reader: &mut Reader) -> Sticky {
    let Some(at) = at else { return Sticky::default() };
    let written = &at.value;
    if written.written.is_empty() {
        let hint = "write `header: X-Device-Id`, or `cookie: { name: _usher }`";
        reader.error_with(at.span, "nothing is said here", hint);
    }
    let headers = match &written.header {
        None => Vec::new(),
        Some(list) => {
            if list.value.empty {
                reader.error(list.span, "an empty list of fields");
            }
            list.value.items.iter().map(|at| at.value.0.clone()).collect()
        }
    };
    Sticky { headers, cookie: written.cookie.as_ref().and_then(|at| cookie(at, reader)) }
}

fn cookie(at: &At<document::StickyCookie>, reader: &mut Reader) -> Option<StickyCookie> {
    let written = &at.value;
    let max_age = max_age(written, reader);
    let name = written.name.as_ref().map_or(NAME, |at| &at.value.0);
    if name.is_empty() || !name.bytes().all(is_token) {
        let span = written.name.as_ref().map_or(at.span, |at| at.span);
        let hint = "letters, digits and `-` or `_` are safe everywhere";
        reader.error_with(span, "no cookie can be called so", hint);
        return None;
    }
    let set = written.set.as_ref().is_none_or(|at| at.value.0);
    if let Some(at) = written.max_age.as_ref().filter(|_| !set) {
        let message = "`max_age` has no effect beside `set: off`: the application says it";
        reader.warn(at.key, message, "remove it");
    }
    Some(StickyCookie { name: name.to_owned(), max_age, set })
}

fn max_age(written: &document::StickyCookie, reader: &mut Reader) -> Duration {
    let Some(at) = &written.max_age else { return MAX_AGE };
    if at.value.0 < Duration::from_secs(1) || at.value.0.subsec_nanos() > 0 {
        let hint = "write for example `30d`";
        reader.error_with(at.span, "browsers count in whole seconds, from 1s on", hint);
    }
    if at.value.0 > MAX_AGE_MAX {
        reader.warn(at.span, "browsers keep no cookie for longer than 400d", "write `400d`");
    }
    at.value.0
}

/// What a cookie's name may hold (RFC 6265 §4.1.1).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
