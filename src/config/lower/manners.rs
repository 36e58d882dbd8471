//! How a listener meets its clients.

use http::HeaderValue;

use crate::{
    config::{
        Redirect,
        document::{self, At, Document, Listener, Reader},
    },
    peer::Network,
};

/// Whether every connection begins with a PROXY header. Whoever may send one is in
/// `trusted_proxies`.
pub(super) fn proxy_protocol(
    listener: &Listener,
    document: &Document,
    reader: &mut Reader,
) -> bool {
    let Some(at) = listener.proxy_protocol.as_ref().filter(|at| at.value.required) else {
        return false;
    };
    if document.trusted_proxies.as_ref().is_none_or(|networks| networks.value.empty) {
        let message = "nobody is in `trusted_proxies`, so nobody could connect here";
        let hint = "write the load balancer's networks there: only they may send a PROXY header";
        reader.error_with(at.key, message, hint);
    } else if listener.bind.as_ref().is_some_and(|bind| bind.value.0.path().is_some())
        && !trusts_unix(document)
    {
        let message = "`unix` is not in `trusted_proxies`, so nobody could connect here";
        let hint = "add `unix` there: whoever may connect to the socket may then say who it is";
        reader.error_with(at.key, message, hint);
    }
    true
}

fn trusts_unix(document: &Document) -> bool {
    let networks = document.trusted_proxies.iter().flat_map(|networks| &networks.value.items);
    networks.map(|at| at.value.pattern).any(|network| network == Network::Unix)
}

/// Where plain requests are sent.
pub(super) fn redirect(listener: &Listener, reader: &mut Reader) -> Option<Redirect> {
    let at = listener.redirect.as_ref()?;
    if listener.tls.is_some() {
        let message = "this listener speaks TLS: there is nothing to redirect";
        reader.error_with(at.key, message, "write `redirect` at the plain listener");
    }
    Some(Redirect { port: at.value.port })
}

/// The value of `Strict-Transport-Security`.
pub(super) fn hsts(listener: &Listener, reader: &mut Reader) -> Option<HeaderValue> {
    let at = listener.hsts.as_ref()?;
    let document::Hsts { max_age, subdomains, preload, .. } = &at.value;
    let on = |at: &Option<At<document::Switch>>| at.as_ref().is_some_and(|at| at.value.0);
    let seconds = max_age.as_ref()?.value.0.as_secs();
    if on(preload) && (!on(subdomains) || seconds < 31_536_000) {
        let message = "browsers' preload lists take no such policy";
        let hint = "they ask for `max_age: 365d` at least and `subdomains: on`";
        reader.warn(at.key, message, hint);
    }
    let mut value = format!("max-age={seconds}");
    for (word, given) in [("; includeSubDomains", subdomains), ("; preload", preload)] {
        if on(given) {
            value.push_str(word);
        }
    }
    HeaderValue::try_from(value).ok()
}
