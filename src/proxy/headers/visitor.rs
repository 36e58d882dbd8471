//! The cookie by which a browser is known again.

use http::{
    HeaderMap, HeaderValue, Method,
    header::{CACHE_CONTROL, SET_COOKIE},
};

use crate::config::StickyCookie;

use super::hop::tokens;

/// Sets the cookie on an answer of the monolith, unless that could come to anybody else: a cache
/// that keeps the answer would give one visitor's name to all. Whether it did.
///
/// An answer to GET or HEAD may be kept by a cache unless it says otherwise (RFC 9111 §3), and
/// `no-cache` does not; to other methods only where it says so.
pub fn make_known(
    headers: &mut HeaderMap,
    method: &Method,
    cookie: &StickyCookie,
    id: &[u8],
    secure: bool,
) -> bool {
    let read = matches!(*method, Method::GET | Method::HEAD);
    if says_public(headers) || read && !says_private(headers) || says_it(headers, &cookie.name) {
        return false;
    }
    let StickyCookie { name, max_age, .. } = cookie;
    let id = String::from_utf8_lossy(id);
    let seconds = max_age.as_secs();
    let secure = if secure { "; Secure" } else { "" };
    let value = format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let Ok(value) = HeaderValue::try_from(value) else { return false };
    headers.append(SET_COOKIE, value);
    true
}

/// Whether no cache that several people share may keep the answer.
fn says_private(headers: &HeaderMap) -> bool {
    let private = ["private", "no-store"];
    tokens(headers, &CACHE_CONTROL)
        .any(|said| private.iter().any(|it| said.eq_ignore_ascii_case(it)))
}

/// Whether the answer is meant for such a cache, whatever else it says.
pub(super) fn says_public(headers: &HeaderMap) -> bool {
    tokens(headers, &CACHE_CONTROL).any(|said| {
        let name = said.split('=').next().unwrap_or(said).trim();
        name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
    })
}

/// Whether the application sets a cookie of that name itself.
fn says_it(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(SET_COOKIE).iter().any(|line| {
        let set = line.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        set.trim_ascii() == name.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;

    use super::*;

    fn set(method: &Method, lines: &[(&str, &str)], secure: bool) -> Option<String> {
        let cookie = StickyCookie {
            name: "_usher".to_owned(),
            max_age: Duration::from_secs(86_400),
            set: true,
        };
        let parse = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        let mut headers: HeaderMap = lines.iter().map(parse).collect();
        let before = headers.get_all(SET_COOKIE).iter().count();
        let done = make_known(&mut headers, method, &cookie, b"00ff", secure);
        let set: Vec<_> = headers.get_all(SET_COOKIE).iter().skip(before).collect();
        assert_eq!(done, set.len() == 1);
        Some(set.first()?.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_cookie_is_the_sites_own_and_out_of_the_reach_of_scripts() {
        let private = [("cache-control", "max-age=0, private, must-revalidate")];
        assert_eq!(
            set(&Method::GET, &private, false).as_deref(),
            Some("_usher=00ff; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
        );
        assert_eq!(
            set(&Method::GET, &private, true).as_deref(),
            Some("_usher=00ff; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure")
        );
    }

    #[test]
    fn it_is_set_on_nothing_that_a_cache_may_give_to_others() {
        for (method, said, is_set) in [
            (Method::GET, "", false),
            (Method::GET, "no-cache", false),
            (Method::GET, "max-age=60", false),
            (Method::GET, "private=\"x-user\"", false),
            (Method::GET, "private", true),
            (Method::GET, "max-age=0, Private, must-revalidate", true),
            (Method::GET, "no-store", true),
            (Method::GET, "public, private", false),
            (Method::GET, "private, s-maxage=5", false),
            (Method::HEAD, "", false),
            (Method::HEAD, "private", true),
            (Method::POST, "", true),
            (Method::POST, "no-cache", true),
            (Method::POST, "Public, max-age=60", false),
            (Method::POST, "S-MaxAge=60", false),
            (Method::DELETE, "", true),
        ] {
            let lines = [("cache-control", said)];
            let lines = if said.is_empty() { &[][..] } else { &lines };
            assert_eq!(set(&method, lines, true).is_some(), is_set, "{method} {said}");
        }
    }

    #[test]
    fn it_stands_beside_the_applications_own_and_in_the_place_of_none() {
        let other = [("cache-control", "private"), ("set-cookie", "_shop=_usher=1")];
        assert!(set(&Method::GET, &other, true).is_some());
        let same = [("cache-control", "private"), ("set-cookie", "_usher=1; Path=/")];
        assert!(set(&Method::GET, &same, true).is_none());
    }
}
