//! What changes for listeners.

use crate::config::Listener;

/// A line for each listener that is added, removed or changed.
pub(super) fn listeners(old: &[Listener], new: &[Listener], lines: &mut Vec<String>) {
    for gone in old.iter().filter(|o| !new.iter().any(|n| n.bind == o.bind)) {
        lines.push(format!("listener {}: removed", gone.bind));
    }
    for now in new {
        match old.iter().find(|o| o.bind == now.bind) {
            None => lines.push(format!("listener {}: added", now.bind)),
            Some(before) => {
                let differences = listener(before, now);
                if !differences.is_empty() {
                    lines.push(format!("listener {}: {}", now.bind, differences.join(", ")));
                }
            }
        }
    }
}

fn listener(old: &Listener, new: &Listener) -> Vec<&'static str> {
    let mut lines = Vec::new();
    if old.limits != new.limits {
        lines.push("limits changed");
    }
    match (old.h2c, new.h2c) {
        (false, true) => lines.push("HTTP/2 without TLS from now on"),
        (true, false) => lines.push("no HTTP/2 without TLS any more"),
        (true, true) | (false, false) => {}
    }
    for (key, differs) in [
        ("rights changed", old.access != new.access),
        ("proxy_protocol changed", old.proxy_protocol != new.proxy_protocol),
        ("redirect changed", old.redirect != new.redirect),
        ("hsts changed", old.hsts != new.hsts),
    ] {
        if differs {
            lines.push(key);
        }
    }
    match (&old.tls, &new.tls) {
        (None, None) => {}
        (None, Some(_)) => lines.push("TLS from now on"),
        (Some(_), None) => lines.push("plain text from now on"),
        (Some(old), Some(new)) if old.certificates != new.certificates => {
            lines.push("certificates changed");
        }
        (Some(old), Some(new)) if old != new => lines.push("TLS changed"),
        (Some(_), Some(_)) => {}
    }
    lines
}
