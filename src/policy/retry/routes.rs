//! Routes that the monolith has said may be asked twice (`X-Usher-Retry: safe`).
//!
//! A request's route is not known before Rails has answered it. So a route is known by what its
//! requests look like: method and path, with numbers and UUIDs left out, since `/orders/17/confirm`
//! and `/orders/18/confirm` are one. What the monolith says of the last one holds for the next.
//!
//! It is read without a lock and written only when the monolith says something new.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

/// The most routes that are remembered; what comes after that is not retried.
const ROUTES_MAX: usize = 1_024;

/// The longest route that is remembered, in bytes.
const ROUTE_BYTES_MAX: usize = 512;

/// What the monolith has said of its routes.
#[derive(Debug, Default)]
pub struct SafeRoutes {
    known: ArcSwap<FxHashSet<Box<str>>>,
    /// Held while the set is copied and swapped, so that nothing said is lost.
    writing: Mutex<()>,
}

// === impl SafeRoutes ===

impl SafeRoutes {
    /// Whether nothing is known: then there is nothing to look up, and nothing to take back.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.known.load().is_empty()
    }

    /// Whether requests like this one may be asked twice.
    pub fn is_safe(&self, method: &str, path: &str) -> bool {
        let known = self.known.load();
        !known.is_empty() && known.contains(&*shape(method, path))
    }

    /// The monolith has answered such a request, and has said that it is safe or has not.
    pub fn learn(&self, method: &str, path: &str, safe: bool) {
        if method.len() + path.len() >= ROUTE_BYTES_MAX {
            return;
        }
        let shape = shape(method, path);
        if self.known.load().contains(&*shape) == safe {
            return;
        }
        let _writing = self.writing.lock();
        let mut known = FxHashSet::clone(&self.known.load());
        if !safe {
            known.remove(&*shape);
        } else if known.len() < ROUTES_MAX {
            known.insert(shape.into());
        }
        self.known.store(Arc::new(known));
    }
}

/// Method and path with `*` for each segment that names one thing of many.
fn shape(method: &str, path: &str) -> String {
    let mut shape = String::with_capacity(method.len() + 1 + path.len());
    shape.push_str(method);
    shape.push(' ');
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            shape.push('/');
        }
        shape.push_str(if names_one(segment) { "*" } else { segment });
    }
    shape
}

/// Whether a segment is a number or a UUID, with or without `.format`.
fn names_one(segment: &str) -> bool {
    let segment = segment.split('.').next().unwrap_or_default();
    let number = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
    let uuid = segment.len() == 36
        && segment.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    number || uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_order_holds_for_all_orders_and_for_nothing_else() {
        let routes = SafeRoutes::default();
        assert!(!routes.is_safe("POST", "/orders/17/confirm"));
        routes.learn("POST", "/orders/17/confirm", true);
        assert!(routes.is_safe("POST", "/orders/18/confirm"));
        assert!(routes.is_safe("POST", "/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301/confirm"));
        for (method, path) in [
            ("PATCH", "/orders/17/confirm"),
            ("POST", "/orders/17/cancel"),
            ("POST", "/orders/confirm"),
            ("POST", "/v1/orders/17/confirm"),
            ("POST", "/orders/a17/confirm"),
        ] {
            assert!(!routes.is_safe(method, path), "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_said_any_more_does_not_hold_any_more() {
        let routes = SafeRoutes::default();
        routes.learn("POST", "/position", true);
        routes.learn("POST", "/position", false);
        assert!(routes.is_empty() && !routes.is_safe("POST", "/position"));
    }

    #[test]
    fn memory_is_bounded() {
        let routes = SafeRoutes::default();
        for n in 0..2 * ROUTES_MAX {
            routes.learn("POST", &format!("/route-{n}"), true);
        }
        assert_eq!(routes.known.load().len(), ROUTES_MAX);
        routes.learn("POST", &format!("/{}", "x".repeat(600)), true);
        assert_eq!(routes.known.load().len(), ROUTES_MAX);
    }
}
