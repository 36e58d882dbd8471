//! Where a request says which version of an app sends it.
//!
//! Nothing here is copied or allocated: a look at one field, and a few dozen bytes of it.

use std::fmt;

use http::{
    HeaderMap, HeaderName,
    header::{GetAll, HeaderValue, USER_AGENT},
};
use regex::bytes::Regex;

use super::{AppVersion, Version};

/// How much of a `User-Agent` is searched, in bytes. Apps come first in theirs.
const USER_AGENT_BYTES_MAX: usize = 512;

/// Where the version stands.
#[derive(Clone, Debug)]
pub enum VersionSource {
    /// It is all of a field.
    Header(HeaderName),
    /// It stands in `User-Agent`, behind this.
    UserAgent(Product),
}

/// What a version stands behind.
#[derive(Clone, Debug)]
pub enum Product {
    /// This text, which is no end of a longer word: `Shop/`.
    Named(Box<str>),
    /// The first match of this.
    Matched(Regex),
}

// === impl VersionSource ===

impl VersionSource {
    /// What it says of a request's app; `None` when it says nothing.
    fn read(&self, headers: &HeaderMap) -> AppVersion {
        match self {
            VersionSource::Header(name) => whole(&headers.get_all(name)),
            VersionSource::UserAgent(product) => {
                headers.get(USER_AGENT).map_or(AppVersion::None, |value| {
                    let value = value.as_bytes();
                    product.read(value.get(..USER_AGENT_BYTES_MAX).unwrap_or(value))
                })
            }
        }
    }
}

impl fmt::Display for VersionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionSource::Header(name) => write!(f, "header {name}"),
            VersionSource::UserAgent(Product::Named(name)) => write!(f, "User-Agent {name}"),
            VersionSource::UserAgent(Product::Matched(regex)) => {
                write!(f, "User-Agent ~{}", regex.as_str())
            }
        }
    }
}

impl PartialEq for VersionSource {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for VersionSource {}

// === impl Product ===

impl Product {
    fn read(&self, value: &[u8]) -> AppVersion {
        let end = match self {
            Product::Named(name) => end_of_name(value, name.as_bytes()),
            Product::Matched(regex) => regex.find(value).map(|found| found.end()),
        };
        let Some(rest) = end.and_then(|end| value.get(end..)) else { return AppVersion::None };
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-+_".contains(byte);
        let length = rest.iter().take_while(is_part).count();
        Version::parse(&rest[..length]).map_or(AppVersion::Other, AppVersion::Known)
    }
}

/// What the first of `sources` that a request has says of its app.
pub fn read_version(sources: &[VersionSource], headers: &HeaderMap) -> AppVersion {
    let mut read = sources.iter().map(|source| source.read(headers));
    read.find(|version| *version != AppVersion::None).unwrap_or(AppVersion::None)
}

/// What all of a field says. One that comes twice is not one version.
fn whole(values: &GetAll<'_, HeaderValue>) -> AppVersion {
    let mut values = values.iter();
    let first = values.next().map(|value| value.as_bytes().trim_ascii());
    match (first, values.next()) {
        (None | Some([]), None) => AppVersion::None,
        (Some(value), None) => Version::parse(value).map_or(AppVersion::Other, AppVersion::Known),
        (_, Some(_)) => AppVersion::Other,
    }
}

/// Where `name` ends in `value`, as a word of its own.
fn end_of_name(value: &[u8], name: &[u8]) -> Option<usize> {
    let begins = |at: usize| at == 0 || !value[at - 1].is_ascii_alphanumeric();
    memchr::memmem::find_iter(value, name).find(|at| begins(*at)).map(|at| at + name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sources = [
            VersionSource::Header(HeaderName::from_static("x-app-version")),
            VersionSource::UserAgent(Product::Named("Shop/".into())),
            VersionSource::UserAgent(Product::Matched(Regex::new("Shop(Lite|Pro) ").expect("it"))),
        ];
        match read_version(&sources, &headers) {
            AppVersion::None => "none".to_owned(),
            AppVersion::Other => "other".to_owned(),
            AppVersion::Known(version) => version.to_string(),
        }
    }

    #[test]
    fn the_first_source_that_says_something_counts() {
        for (fields, expected) in [
            (&[][..], "none"),
            (&[("x-app-version", "5.2")][..], "5.2"),
            (&[("x-app-version", "")], "none"),
            (&[("x-app-version", " ")], "none"),
            (&[("x-app-version", "latest")], "other"),
            (&[("x-app-version", "5.2"), ("x-app-version", "6")], "other"),
            (&[("x-app-version", "5.2"), ("user-agent", "Shop/6.0")], "5.2"),
            (&[("x-app-version", "?"), ("user-agent", "Shop/6.0")], "other"),
            (&[("x-app-version", ""), ("user-agent", "Shop/6.0")], "6.0"),
        ] {
            assert_eq!(read(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn in_a_user_agent_the_version_stands_behind_the_apps_name() {
        for (value, expected) in [
            ("Shop/5.2.1", "5.2.1"),
            ("Shop/5.2.1 (iPhone; iOS 18.1)", "5.2.1"),
            ("Mozilla/5.0 (Linux; Android 15) Shop/5.2; build=7", "5.2"),
            ("Shop/5.2-beta.3+7 okhttp/4.12", "5.2"),
            ("(Shop/5.2)", "5.2"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "none"),
            ("BarberShop/9.1", "none"),
            ("BarberShop/9.1 Shop/5.2", "5.2"),
            ("Shop/", "other"),
            ("Shop/x", "other"),
            ("ShopLite 4.7 Android", "4.7"),
        ] {
            assert_eq!(read(&[("user-agent", value)]), expected, "{value}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_user_agent_is_searched() {
        let mut headers = HeaderMap::new();
        let long = format!("{}Shop/5.2", "a ".repeat(256));
        headers.insert(USER_AGENT, HeaderValue::try_from(long).expect("a value"));
        let sources = [VersionSource::UserAgent(Product::Named("Shop/".into()))];
        assert_eq!(read_version(&sources, &headers), AppVersion::None);
    }
}
