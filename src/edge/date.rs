//! The `Date` of answers, formatted once a second and worker.

use std::{
    cell::{Cell, RefCell},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use http::HeaderValue;

const DATE_BYTES: usize = 29;

thread_local! {
    static FIELD: RefCell<(u64, HeaderValue)> =
        const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    static NOW: Cell<(u64, [u8; DATE_BYTES])> = const { Cell::new((u64::MAX, [b' '; DATE_BYTES])) };
}

/// Appends the current date as an HTTP-date.
pub(super) fn append(text: &mut BytesMut) {
    let (_, date) = current();
    text.extend_from_slice(&date);
}

/// The current date as the value of a field.
pub(super) fn field() -> HeaderValue {
    let (second, date) = current();
    FIELD.with_borrow_mut(|(made, field)| {
        if *made != second
            && let Ok(value) = HeaderValue::from_bytes(&date)
        {
            (*made, *field) = (second, value);
        }
        field.clone()
    })
}

fn current() -> (u64, [u8; DATE_BYTES]) {
    let now = now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (second, mut date) = NOW.get();
    if second != seconds {
        let formatted = httpdate::fmt_http_date(now);
        date.copy_from_slice(&formatted.as_bytes()[..DATE_BYTES]);
        NOW.set((seconds, date));
    }
    (seconds, date)
}

fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_an_http_date_of_now() {
        let mut text = BytesMut::new();
        append(&mut text);
        append(&mut text);
        let date = std::str::from_utf8(&text[..DATE_BYTES]).expect("ASCII");
        let parsed = httpdate::parse_http_date(date).expect("an HTTP-date");
        let age = now().duration_since(parsed).expect("not in the future");
        assert!(age.as_secs() <= 2);
        assert_eq!(text.len(), 2 * DATE_BYTES);
        assert!(httpdate::parse_http_date(field().to_str().expect("ASCII")).is_ok());
    }
}
