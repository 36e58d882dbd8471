//! Which version of its app sends a request, and what becomes of it because of that.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    hash::Hasher,
    net::{IpAddr, Ipv6Addr},
    time::{Instant, SystemTime},
};

use http::{HeaderMap, Method, header::ACCESS_CONTROL_REQUEST_METHOD, request::Parts};

use super::{asked::Asked, exchange::Exchange, visitor, worker::Worker};
use crate::{
    classify::{AppVersion, Identity},
    config::{Sticky, VersionAnswer},
    fault::Fault,
    meters::Band,
    peer::Client,
    policy::{
        sticky::Place,
        versions::{ClientHasher, Standing},
    },
    snapshot::{Deprecation, Versions},
};

/// What a request says of its app, and what becomes of it because of that.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// Its version.
    pub version: AppVersion,
    /// What becomes of it.
    pub standing: Standing,
    /// Whether all versions may ask for what it asks for.
    pub exempt: bool,
}

/// What tells one client from another.
enum Key<'a> {
    /// Its user, or what it says of itself.
    Text(Cow<'a, [u8]>),
    /// Its address; a household has as many of IPv6 as it likes, in one network of 64 bits.
    Address(Client),
}

/// An address or a network as text, which is at most that long.
struct Shown {
    text: [u8; 48],
    length: usize,
}

// === impl App ===

impl App {
    /// Looks at a request, and counts it. One in which a browser asks whether it may ask for
    /// something (a preflight) cannot have a version, and is none of anybody's.
    pub fn of(
        (versions, sticky): (&Versions, &Sticky),
        head: &Parts,
        asked: &Asked,
        worker: &Worker,
        arrived: Instant,
    ) -> Option<Self> {
        if is_preflight(&head.method, &head.headers) {
            return None;
        }
        let policy = &versions.config.policy;
        let (version, band) = versions.read(&head.headers);
        let key = Key::of(asked.identity.as_deref(), &head.headers, asked.client, sticky);
        let standing = policy.standing(band, || key.place(versions.salt()));
        versions.meter.seen(worker.index, band);
        versions.tally.note(worker.index, version, key.hash(), arrived);
        let exempt = matches!(standing, Standing::Old(_)) && versions.exempts(head.uri.path());
        Some(Self { version, standing, exempt })
    }

    /// As the log writes it.
    pub fn told(&self) -> String {
        match self.version {
            AppVersion::Known(version) => version.to_string(),
            AppVersion::None => Band::None.name().to_owned(),
            AppVersion::Other => Band::Other.name().to_owned(),
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// Whether the version of its app is served, now.
    pub fn admit_by_version(&mut self) -> Result<(), Fault> {
        let Some(app) = self.asked().app.filter(|app| !app.exempt) else { return Ok(()) };
        let Some(versions) = &self.audience().versions else { return Ok(()) };
        let now = self.arrived_at().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if versions.config.policy.refuses(app.standing, now) {
            return Err(Fault::VersionTooOld);
        }
        Ok(())
    }

    /// What its client is told because its app grows old, though it was served.
    pub fn deprecation(&self) -> Option<Deprecation> {
        let told = self.view().deprecation(self.audience_index());
        match self.asked().app?.standing {
            Standing::Fine => None,
            Standing::Ageing => told.map(|told| Deprecation { sunset: None, ..told.clone() }),
            Standing::Old(_) => told.cloned(),
        }
    }

    /// What its client is answered because of `fault`, where that was configured.
    pub fn answer_to(&self, fault: Fault) -> Option<&VersionAnswer> {
        let versions = self.audience().versions.as_ref()?;
        (fault == Fault::VersionTooOld).then_some(&versions.config.answer)
    }
}

// === impl Key ===

impl<'a> Key<'a> {
    /// As for all that is decided for a share: the user, else what its device or a cookie says;
    /// and where it says nothing, its address.
    fn of(
        identity: Option<&'a Identity>,
        headers: &'a HeaderMap,
        client: Client,
        sticky: &Sticky,
    ) -> Self {
        let user = identity.map(|identity| Cow::Borrowed(identity.subject.as_bytes()));
        let said = user.or_else(|| visitor::said(headers, sticky));
        said.map_or_else(|| Self::client(client), Self::Text)
    }

    fn client(client: Client) -> Self {
        match client {
            Client::Ip(IpAddr::V6(address)) => {
                let network = Ipv6Addr::from_bits(address.to_bits() >> 64 << 64);
                Self::Address(Client::Ip(IpAddr::V6(network)))
            }
            Client::Ip(IpAddr::V4(_)) | Client::Unix => Self::Address(client),
        }
    }

    /// Where it stands in what is called `salt`.
    fn place(&self, salt: &str) -> Place {
        match self {
            Self::Text(text) => Place::of(salt, text),
            Self::Address(address) => Place::of(salt, Shown::of(*address).as_bytes()),
        }
    }

    /// For counting: the same on every worker, and of no use to anybody else.
    fn hash(&self) -> u64 {
        let mut hash = ClientHasher::new();
        match self {
            Self::Text(text) => hash.write(text),
            Self::Address(Client::Ip(IpAddr::V4(address))) => hash.write_u32(address.to_bits()),
            Self::Address(Client::Ip(IpAddr::V6(address))) => hash.write_u128(address.to_bits()),
            Self::Address(Client::Unix) => hash.write_u8(0),
        }
        hash.finish()
    }
}

// === impl Shown ===

impl Shown {
    fn of(client: Client) -> Self {
        let mut shown = Self { text: [0; 48], length: 0 };
        let written = match client {
            Client::Ip(IpAddr::V4(_)) | Client::Unix => write!(shown, "{client}"),
            Client::Ip(IpAddr::V6(network)) => write!(shown, "{network}/64"),
        };
        debug_assert!(written.is_ok(), "39 characters, and 3 more");
        shown
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Where whoever sends a request stands in what is called `salt`.
pub fn place_of(
    salt: &str,
    identity: Option<&Identity>,
    headers: &HeaderMap,
    client: Client,
    sticky: &Sticky,
) -> Place {
    Key::of(identity, headers, client, sticky).place(salt)
}

/// Whether a browser asks whether another site's page may ask (Fetch, "CORS-preflight request").
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::proxy::headers;

    #[test]
    fn what_a_cache_may_give_to_others_says_nothing_of_one_app() {
        let told = |name: &'static str, value: &'static str| {
            let mut answer = HeaderMap::new();
            answer.insert(name, HeaderValue::from_static(value));
            let at = |text| HeaderValue::from_static(text);
            let sunset = Some(at("Mon, 21 Dec 2026 00:00:00 GMT"));
            headers::deprecate(&mut answer, Deprecation { since: at("@1"), sunset });
            (answer["deprecation"].clone(), answer.contains_key("sunset"))
        };
        for private in ["max-age=0, private, must-revalidate", "no-cache", "max-age=60"] {
            assert_eq!(told("cache-control", private), (HeaderValue::from_static("@1"), true));
        }
        assert_eq!(told("deprecation", "@7"), (HeaderValue::from_static("@7"), true), "Rails' own");
        for public in ["public, max-age=31536000", "max-age=0, s-maxage=60"] {
            let mut answer = HeaderMap::new();
            answer.insert("cache-control", HeaderValue::from_static(public));
            let since = HeaderValue::from_static("@1");
            headers::deprecate(&mut answer, Deprecation { since, sunset: None });
            assert_eq!(answer.len(), 1, "{public}");
        }
    }

    #[test]
    fn a_client_is_placed_by_what_people_would_write() {
        for (address, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8::17:1", "2001:db8::/64"),
            ("1234:5678:9abc:def0:1:2:3:4", "1234:5678:9abc:def0::/64"),
        ] {
            let Key::Address(address) = Key::client(address.parse().expect("an address")) else {
                panic!("{address} is an address");
            };
            assert_eq!(Shown::of(address).as_bytes(), shown.as_bytes());
        }
    }
}
