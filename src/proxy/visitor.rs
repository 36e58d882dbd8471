//! By what a request's client is known again: the user that it has proved to be, else what its
//! device says, else a cookie, which usher sets where that is wanted.
//!
//! It is a key to a hash and nothing else. Anybody can send another's, and gains by it what the
//! other has: a place.

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::rand;
use http::HeaderMap;

use super::{exchange::Exchange, headers};
use crate::{
    classify::{Identity, cookie_value, field_value},
    config::{Sticky, StickyCookie},
    policy::sticky::Place,
};

/// By what a request's client is known again.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// The user that it has proved to be.
    User(Arc<Identity>),
    /// What its device or its cookie says.
    Said(Box<[u8]>),
    /// Nothing yet: it is told this in a cookie, so that what is decided now holds from now on.
    New(Id),
}

/// 128 bits in hexadecimal: what usher calls somebody whom it does not know.
pub type Id = [u8; 32];

// === impl Visitor ===

impl Visitor {
    /// By what a client is known again that has proved to be `identity` and sent `headers`; `None`
    /// where it says nothing, and is to be told nothing.
    pub fn of(
        identity: Option<&Arc<Identity>>,
        headers: &HeaderMap,
        sticky: &Sticky,
    ) -> Option<Self> {
        if let Some(identity) = identity {
            return Some(Self::User(identity.clone()));
        }
        if let Some(said) = said(headers, sticky) {
            return Some(Self::Said(said.into_owned().into()));
        }
        let sets = sticky.cookie.as_ref().is_some_and(|cookie| cookie.set);
        sets.then(draw).flatten().map(Self::New)
    }

    /// Where the client stands in what is called `salt`.
    pub fn place(&self, salt: &str) -> Place {
        Place::of(salt, self.key())
    }

    /// What usher has its client told, when it is known by nothing yet.
    pub fn news(&self) -> Option<&Id> {
        match self {
            Visitor::New(id) => Some(id),
            Visitor::User(_) | Visitor::Said(_) => None,
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Visitor::User(identity) => identity.subject.as_bytes(),
            Visitor::Said(said) => said,
            Visitor::New(id) => id,
        }
    }
}

/// What a client says of itself that has sent `headers`: its device, else a cookie.
pub fn said<'a>(headers: &'a HeaderMap, sticky: &Sticky) -> Option<Cow<'a, [u8]>> {
    let mut said = sticky.headers.iter().filter_map(|name| field_value(headers, name));
    said.find(|said| !said.is_empty()).or_else(|| {
        let cookie = sticky.cookie.as_ref()?;
        cookie_value(headers, &cookie.name).filter(|said| is_good(cookie, said))
    })
}

/// Whether the client of `exchange` is to be told something.
pub fn has_news(exchange: &Exchange) -> bool {
    exchange.asked().visitor.as_ref().and_then(Visitor::news).is_some()
}

/// Tells the client of `exchange` by what it is known again, on an answer that goes to it alone.
pub fn tell(exchange: &Exchange, answer: &mut HeaderMap) {
    let asked = exchange.asked();
    let Some(id) = asked.visitor.as_ref().and_then(Visitor::news) else { return };
    let (Some(cookie), Some(method)) = (&exchange.view().config.sticky.cookie, &asked.method)
    else {
        return;
    };
    if headers::make_known(answer, method, cookie, id, asked.secure) {
        exchange.audience().meter.visitor_told(exchange.worker().index);
    }
}

/// What usher has set has its form; anything else is replaced. What an application sets may be
/// anything.
fn is_good(cookie: &StickyCookie, said: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    match cookie.set {
        true => said.len() == size_of::<Id>() && said.iter().all(digit),
        false => !said.is_empty(),
    }
}

/// An id that nobody can guess; none where the system has no randomness to give.
fn draw() -> Option<Id> {
    let mut random = [0; 16];
    rand::fill(&mut random).ok()?;
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    let mut id = [0; 32];
    for (pair, byte) in id.chunks_exact_mut(2).zip(random) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_id_is_good_and_no_two_are_alike() {
        let cookie =
            StickyCookie { name: "_usher".into(), max_age: std::time::Duration::ZERO, set: true };
        let ids: std::collections::HashSet<Id> = (0..1_000).filter_map(|_| draw()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| is_good(&cookie, id)));
        for bad in
            ["", "0", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"]
        {
            assert!(!is_good(&cookie, bad.as_bytes()), "{bad}");
        }
        let theirs = StickyCookie { set: false, ..cookie };
        assert!(is_good(&theirs, b"anything \xff") && !is_good(&theirs, b""));
    }
}
