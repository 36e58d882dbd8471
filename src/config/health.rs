//! How a pool finds out which of its endpoints are well.

use std::{ops::RangeInclusive, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{classify::Text, units::Percent};

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug)]
pub struct Health {
    /// What is asked for; begins with `/`.
    pub path: String,
    /// The `Host` that is asked for; the endpoint's own address when left out.
    pub host: Option<HeaderValue>,
    /// The method.
    pub method: Method,
    /// More fields of the request.
    pub headers: HeaderMap,
    /// The statuses that are well.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// What the body has to be.
    pub body: Option<Text>,
    /// How often.
    pub interval: Duration,
    /// By how much an interval may be shorter or longer, so that replicas do not ask in step.
    pub jitter: Percent,
    /// How long one answer may take, connecting included.
    pub timeout: Duration,
    /// So many good answers in a row make an endpoint usable again.
    pub rise: u32,
    /// So many bad answers in a row make it unusable.
    pub fall: u32,
    /// The port that is asked, where it is not the endpoint's own.
    pub port: Option<u16>,
    /// Whether it is asked in plain HTTP/1.1, however requests are sent.
    pub plain: bool,
}

/// When an endpoint gets no requests for a while because those that it got went wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejection {
    /// So many failures in a row.
    pub consecutive: u32,
    /// This share of the requests within the window.
    pub ratio: Percent,
    /// Below so many requests within the window, shares say nothing.
    pub requests: u32,
    /// How far back the share looks.
    pub window: Duration,
    /// For how long, the first time; doubled each time that it goes wrong again.
    pub hold: Duration,
    /// For how long at most.
    pub hold_max: Duration,
    /// The share of a pool's endpoints that may be ejected at once, one at least. One that refuses
    /// connections is ejected beyond it, while another is usable.
    pub share: Percent,
}

/// What becomes of requests when no endpoint of a pool is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnhealthy {
    /// They are sent nevertheless: what is known of the endpoints may be wrong.
    #[default]
    Try,
    /// They are refused at once.
    Refuse,
}

// === impl Health ===

impl Default for Health {
    /// What Rails 7.1 and later have from the start.
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        Self {
            path: "/up".to_owned(),
            host: None,
            method: Method::GET,
            headers,
            statuses: vec![200..=299],
            body: None,
            interval: Duration::from_secs(5),
            jitter: percent("20%"),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            port: None,
            plain: false,
        }
    }
}

impl PartialEq for Health {
    /// Whether the same is asked in the same way. Patterns compare as they are written.
    fn eq(&self, other: &Self) -> bool {
        let text = |health: &Self| format!("{health:?}");
        text(self) == text(other)
    }
}

impl Health {
    /// Whether `status` is well.
    pub fn expects(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }

    /// Whether Rails is told that the client came over TLS.
    pub fn says_https(&self) -> bool {
        let proto = self.headers.get("x-forwarded-proto");
        proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
    }

    /// Fields that usher sets itself.
    pub(crate) const RESERVED: [header::HeaderName; 4] =
        [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
}

// === impl Ejection ===

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive: 5,
            ratio: percent("50%"),
            requests: 20,
            window: Duration::from_secs(10),
            hold: Duration::from_secs(5),
            hold_max: Duration::from_secs(60),
            share: percent("50%"),
        }
    }
}

fn percent(text: &str) -> Percent {
    Percent::parse(text).expect("the text is a percentage")
}
