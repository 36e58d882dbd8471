//! The names that certificates are good for.

use std::{borrow::Cow, net::IpAddr};

use rustc_hash::FxHashSet;

/// Names and wildcards, for hosts of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    exact: FxHashSet<Box<str>>,
    /// What stands behind the `*.`.
    wildcards: FxHashSet<Box<str>>,
}

// === impl Names ===

impl Names {
    /// Whether one of them covers `host`, which may have a port. A wildcard covers one label.
    pub fn cover(&self, host: &str) -> bool {
        let name = bare(host);
        if self.exact.contains(&*name) {
            return true;
        }
        !self.wildcards.is_empty()
            && name.split_once('.').is_some_and(|(_, parent)| self.wildcards.contains(parent))
    }
}

impl<'a> Extend<&'a str> for Names {
    fn extend<I: IntoIterator<Item = &'a str>>(&mut self, names: I) {
        for name in names {
            match name.strip_prefix("*.") {
                Some(parent) => self.wildcards.insert(parent.into()),
                None => self.exact.insert(name.into()),
            };
        }
    }
}

/// `host` without its port, brackets and last dot, in lower case; addresses as they are written
/// today.
fn bare(host: &str) -> Cow<'_, str> {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.contains(':') {
        return name.parse::<IpAddr>().map_or(name.into(), |address| address.to_string().into());
    }
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_covered_by_its_name_or_by_a_wildcard_of_one_label() {
        let mut names = Names::default();
        names.extend(["shop.example", "*.api.example", "192.0.2.7", "2001:db8::1"]);
        for host in [
            "shop.example",
            "Shop.Example:8443",
            "shop.example.",
            "v1.api.example",
            "192.0.2.7:443",
            "[2001:DB8:0::1]:443",
            "[2001:db8::1]",
        ] {
            assert!(names.cover(host), "{host}");
        }
        for host in ["", "api.example", "a.b.api.example", "www.shop.example", "[::1]", "example"] {
            assert!(!names.cover(host), "{host}");
        }
    }
}
