//! The request that is asked about, as it was typed.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_TYPE, HOST},
};

/// A request as usher would read it from a client.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The target's path, without the query.
    pub path: String,
    /// The target's query, without the `?`.
    pub query: Option<String>,
    /// The `Host` field.
    pub host: String,
    /// All fields, `Host` among them when it is known.
    pub headers: HeaderMap,
    /// Its body, as far as it was given.
    pub body: Option<String>,
    /// The `_method` of a form in the body.
    pub form_method: Option<String>,
    /// What could not be taken into account.
    pub notes: Vec<String>,
}

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Neither METHOD URL nor a `curl` command line.
    #[error("say METHOD URL, or paste a `curl` command line")]
    NoRequest,
    /// A `curl` command line without a URL.
    #[error("the `curl` command line holds no URL")]
    NoUrl,
    /// A quote is not closed.
    #[error("the `curl` command line holds a quote that is not closed")]
    OpenQuote,
    /// An option of `curl` without the value it takes.
    #[error("curl's `{option}` takes a value")]
    NoValue {
        /// The option as it was written.
        option: String,
    },
    /// A method with characters that no method has.
    #[error("`{method}` is no method")]
    Method {
        /// What was written.
        method: String,
    },
    /// A field that is no `Name: value`.
    #[error("`{field}` is no header: write `Name: value`")]
    Field {
        /// What was written.
        field: String,
    },
}

// === impl Asked ===

impl Asked {
    /// A request for `url`: absolute, a path alone, or as curl takes it without its scheme.
    pub fn new(method: &str, url: &str) -> Result<Self, AskError> {
        let named = || AskError::Method { method: method.to_owned() };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| named())?;
        let (host, target) = parts(url);
        let target = target.split_once('#').map_or(target, |(sent, _)| sent);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let mut asked = Self {
            method,
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            query,
            host: host.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            form_method: None,
            notes: Vec::new(),
        };
        if url.contains('#') {
            asked.notes.push("what stands behind `#` is never sent".to_owned());
        }
        if let Ok(host) = HeaderValue::from_str(host)
            && !host.is_empty()
        {
            asked.headers.insert(HOST, host);
        }
        Ok(asked)
    }

    /// Gives it a body, of JSON unless a field says otherwise.
    pub fn add_body(&mut self, body: &str) {
        let json = HeaderValue::from_static("application/json");
        self.headers.entry(CONTENT_TYPE).or_insert(json);
        self.body = Some(body.to_owned());
    }

    /// Adds a field written as `Name: value`; `Host` replaces the URL's.
    pub fn add_field(&mut self, field: &str) -> Result<(), AskError> {
        let wrong = || AskError::Field { field: field.to_owned() };
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let value = value.trim();
        let sent = HeaderValue::from_str(value).map_err(|_| wrong())?;
        if name == HOST {
            value.clone_into(&mut self.host);
            self.headers.insert(name, sent);
        } else {
            self.headers.append(name, sent);
        }
        Ok(())
    }
}

/// Splits a URL into its host with port, and its target.
fn parts(url: &str) -> (&str, &str) {
    let behind_scheme = url.split_once("://").map(|(_, rest)| rest);
    let rest = match behind_scheme {
        None if url.starts_with('/') => return ("", url),
        None => url,
        Some(rest) => rest,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    (authority.rsplit_once('@').map_or(authority, |(_, host)| host), target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_left_as_it_is() {
        for (url, host, path, query) in [
            ("https://shop.test/a//b?x=1", "shop.test", "/a//b", Some("x=1")),
            ("https://u:p@shop.test:8443/%2e%2e/a", "shop.test:8443", "/%2e%2e/a", None),
            ("http://shop.test", "shop.test", "/", None),
            ("http://shop.test?x", "shop.test", "/", Some("x")),
            ("shop.test/a#b", "shop.test", "/a", None),
            ("/a\\b?c?d", "", "/a\\b", Some("c?d")),
            ("//admin/x", "", "//admin/x", None),
        ] {
            let asked = Asked::new("GET", url).expect("a request");
            let seen = (&*asked.host, &*asked.path, asked.query.as_deref());
            assert_eq!(seen, (host, path, query), "{url}");
        }
    }

    #[test]
    fn a_host_field_replaces_the_urls() {
        let mut asked = Asked::new("GET", "http://a.test/").expect("a request");
        asked.add_field("host: b.test").expect("a field");
        assert_eq!(asked.host, "b.test");
        assert!(asked.add_field("no field").is_err());
        assert!(Asked::new("G T", "/").is_err());
    }
}
