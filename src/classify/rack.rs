//! Values of a request as Rack will see them.
//!
//! Rack joins repeated fields with `, `, lets the first cookie and the last parameter of a name
//! win, and decodes both as forms do. What follows mirrors `Rack::Utils.parse_cookies_header`,
//! `Rack::QueryParser` and `URI.decode_www_form_component` of Rack 2.2, which split a query at `;`
//! as well as at `&`.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header::COOKIE};
use percent_encoding::percent_decode;

/// A field's value; repeated ones joined.
pub fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
    let mut joined = [first, b", ", second.as_bytes()].concat();
    for value in values {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
    }
    Some(Cow::Owned(joined))
}

/// The value of the first cookie called `name`. Names are taken as sent; a value with a broken
/// escape is, too. A cookie without `=` has no value and still hides later ones.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, [u8]>> {
    let value = match header(headers, &COOKIE)? {
        Cow::Borrowed(field) => Cow::Borrowed(first_cookie(field, name)??),
        Cow::Owned(field) => Cow::Owned(first_cookie(&field, name)??.to_vec()),
    };
    Some(if well_escaped(&value) { decoded(value) } else { value })
}

/// The value of the last parameter called `name`: `a` is also how Rack reads `[a]` and `a]`. A
/// parameter without `=` has no value and still hides earlier ones.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    let pairs = query.as_bytes().rsplit(|b| matches!(b, b'&' | b';'));
    for pair in pairs.map(without_leading_spaces).filter(|pair| !pair.is_empty()) {
        let (key, value) = split_pair(pair);
        if flat_name(&decoded(Cow::Borrowed(key))) == name.as_bytes() {
            return value.map(|value| decoded(Cow::Borrowed(value)));
        }
    }
    None
}

fn first_cookie<'a>(field: &'a [u8], name: &str) -> Option<Option<&'a [u8]>> {
    let pairs = field.split(|b| *b == b';').enumerate();
    // Spaces behind a `;` belong to the separator; those that begin the field do not.
    let trimmed = pairs.map(|(i, pair)| if i == 0 { pair } else { without_leading_spaces(pair) });
    trimmed
        .filter(|pair| !pair.is_empty())
        .map(split_pair)
        .find(|(key, _)| *key == name.as_bytes())
        .map(|(_, value)| value)
}

fn without_leading_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    }
}

/// Brackets around a whole name mean nothing to Rack; a name with more behind them is left alone.
fn flat_name(name: &[u8]) -> &[u8] {
    let bracket = |b: &u8| matches!(b, b'[' | b']');
    let start = name.iter().position(|b| !bracket(b)).unwrap_or(name.len());
    let inner = &name[start..];
    let end = inner.iter().position(bracket).unwrap_or(inner.len());
    if inner[end..].iter().all(|b| *b == b']') { &inner[..end] } else { name }
}

fn well_escaped(value: &[u8]) -> bool {
    let digit = |i: usize| value.get(i).is_some_and(u8::is_ascii_hexdigit);
    memchr::memchr_iter(b'%', value).all(|at| digit(at + 1) && digit(at + 2))
}

/// Decodes `+` and escapes; borrows when there are none.
fn decoded(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'+', b'%', &value).is_none() {
        return value;
    }
    let spaced: Vec<u8> = value.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn text(value: Option<Cow<'_, [u8]>>) -> Option<String> {
        value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn cookie_of(field: &'static str, name: &str) -> Option<String> {
        text(cookie(&headers(&[("cookie", field)]), name))
    }

    fn parameter_of(query: &str, name: &str) -> Option<String> {
        text(parameter(query, name))
    }

    #[test]
    fn repeated_fields_are_joined() {
        let name = HeaderName::from_static("x-app");
        assert_eq!(text(header(&headers(&[("x-app", "a")]), &name)), Some("a".into()));
        let three = headers(&[("x-app", "a"), ("x-other", "x"), ("x-app", "b"), ("x-app", "c")]);
        assert_eq!(text(header(&three, &name)), Some("a, b, c".into()));
        assert_eq!(header(&headers(&[]), &name), None);
    }

    #[test]
    fn the_first_cookie_of_a_name_wins() {
        assert_eq!(cookie_of("a=1; b=2; a=3", "a"), Some("1".into()));
        assert_eq!(cookie_of("x=0;;  a=1 ;b=", "a"), Some("1 ".into()));
        assert_eq!(cookie_of("a=b=c", "a"), Some("b=c".into()));
        assert_eq!(cookie_of("b=", "b"), Some(String::new()));
        assert_eq!(cookie_of("a; a=1", "a"), None, "a cookie without a value hides later ones");
        assert_eq!(cookie_of("a=1", "A"), None);
    }

    #[test]
    fn a_cookie_value_is_decoded_like_a_form() {
        assert_eq!(cookie_of("a=x%20y+z", "a"), Some("x y z".into()));
        assert_eq!(cookie_of("a=100%+x", "a"), Some("100%+x".into()), "a broken escape stays");
        assert_eq!(cookie_of("%61=1", "a"), None, "names are taken as sent");
        let two = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        assert_eq!(text(cookie(&two, "a")), Some("1, b=2".into()), "joined as any other field");
    }

    #[test]
    fn the_last_parameter_of_a_name_wins() {
        assert_eq!(parameter_of("a=1&b=2&a=3", "a"), Some("3".into()));
        assert_eq!(parameter_of("a=1;a=2", "a"), Some("2".into()), "Rack 2 splits at `;` too");
        assert_eq!(parameter_of("a=1&a", "a"), None, "a parameter without a value hides others");
        assert_eq!(parameter_of("%61=x%2By+z", "a"), Some("x+y z".into()));
        assert_eq!(parameter_of("[a]=1", "a"), Some("1".into()));
        assert_eq!(parameter_of("filter[state]=open", "filter[state]"), Some("open".into()));
        assert_eq!(parameter_of("filter[state]=open", "filter"), None);
        assert_eq!(parameter_of("", "a"), None);
    }
}
