//! What all replicas have counted together, as Prometheus sums it up with the rules that `usher
//! rules` writes.
//!
//! Asked every few seconds, in one query for all promises and windows. When Prometheus says nothing
//! for a while, nothing is known: an old answer is not taken for a good one.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::slo::{Count, Promise, Standing, Sums, WINDOWS};

/// How often Prometheus is asked.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(15);

/// How long it may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How old an answer may be.
const SILENCE_MAX: Duration = Duration::from_secs(90);

const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Everything in one query: `usher:slo_total:increase5m`, `usher:slo_bad:increase_28d`, …
const QUERY: &str = "{__name__=~\"usher:slo_(total|bad):increase.+\"}";

const TOTAL: &str = "usher:slo_total:increase";
const BAD: &str = "usher:slo_bad:increase";

/// Audience, label and window, as the rules name them.
type Key = (String, String, String);

/// What Prometheus says of all replicas.
pub(super) struct Fleet {
    url: Uri,
    heard: Mutex<Heard>,
}

/// Why Prometheus has said nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("it takes too long to answer")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("it does not answer as HTTP says: {0}")]
    Http(#[from] hyper::Error),
    #[error("it cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("it answers {0}")]
    Refused(StatusCode),
    #[error("its answer is too large or breaks off")]
    Body,
    #[error("its answer is none to a query")]
    Answer,
}

#[derive(Default)]
struct Heard {
    at: Option<Instant>,
    counts: BTreeMap<Key, [f64; 2]>,
    trouble: Option<String>,
}

// === impl Fleet ===

impl Fleet {
    /// Asks the Prometheus at `url`.
    pub(super) fn new(url: Uri) -> Self {
        Self { url, heard: Mutex::default() }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// Asks once.
    pub(super) async fn ask(&self) {
        let asked = timeout(ANSWER_WAIT, query(&self.url)).await;
        let counts = asked.map_err(Silence::from).and_then(|answer| answer);
        let mut heard = self.heard.lock();
        match counts {
            Ok(counts) => *heard = Heard { at: Some(Instant::now()), counts, trouble: None },
            Err(error) => {
                let trouble = format!("Prometheus at {} says nothing: {error}", self.url);
                if heard.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!("{trouble}");
                }
                heard.trouble = Some(trouble);
            }
        }
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self) -> Option<String> {
        let heard = self.heard.lock();
        let silent = "Prometheus has no series of `usher rules`: are they loaded?".to_owned();
        heard
            .trouble
            .clone()
            .or_else(|| (heard.at.is_some() && heard.counts.is_empty()).then_some(silent))
    }

    /// How `promise` stands over all replicas, as far as Prometheus has said so lately. What its
    /// budget went on is told by `own`, what this replica knows.
    pub(super) fn standing(&self, promise: &Promise, own: &Standing) -> Standing {
        let heard = self.heard.lock();
        let fresh = heard.at.is_some_and(|at| at.elapsed() <= SILENCE_MAX);
        let count = |window: &str| {
            let key = (promise.audience.to_string(), promise.label.to_string(), window.to_owned());
            heard.counts.get(&key).filter(|_| fresh).map_or(Count::default(), |[total, bad]| {
                let (total, bad) = (total.round().max(0.0) as u64, bad.round().max(0.0) as u64);
                Count { good: total.saturating_sub(bad), bad }
            })
        };
        let period = format!("_{}d", promise.window.as_secs() / 86_400);
        let sums = Sums {
            windows: WINDOWS.map(|(_, name)| count(name)),
            whole: count(&period),
            since: own.sums.since,
            spent: own.sums.spent.clone(),
        };
        Standing::of(promise, sums)
    }
}

// === free functions ===

async fn query(url: &Uri) -> Result<BTreeMap<Key, [f64; 2]>, Silence> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    let query =
        form_urlencoded::Serializer::new(String::new()).append_pair("query", QUERY).finish();
    let path = format!("{}/api/v1/query?{query}", url.path().trim_end_matches('/'));
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path).header("host", authority).body(Empty::<Bytes>::new())?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await?;
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(Silence::Refused(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|_| Silence::Body)
    };
    // The connection has no task of its own: it moves while the answer is waited for, and ends
    // when the sender has gone.
    let (body, _ended) = tokio::join!(exchange, connection);
    let body = body?;
    counts(&body).ok_or(Silence::Answer)
}

/// Reads the answer to an instant query.
fn counts(body: &[u8]) -> Option<BTreeMap<Key, [f64; 2]>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let results = answer["data"]["result"].as_array()?;
    let mut counts = BTreeMap::new();
    for result in results {
        let metric = &result["metric"];
        let text = |label: &str| metric[label].as_str().unwrap_or_default().to_owned();
        let name = text("__name__");
        let (at, window) = match (name.strip_prefix(TOTAL), name.strip_prefix(BAD)) {
            (Some(window), _) => (0, window),
            (None, Some(window)) => (1, window),
            (None, None) => continue,
        };
        let value = result["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
        let Some(value) = value.filter(|value| value.is_finite()) else { continue };
        let key = (text("audience"), text("slo"), window.to_owned());
        let entry: &mut [f64; 2] = counts.entry(key).or_default();
        entry[at] = value;
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_audience_promise_and_window() {
        let sample = |name: &str, value: &str| {
            format!(
                r#"{{"metric":{{"__name__":"{name}","audience":"a","slo":"availability"}},
                "value":[1,"{value}"]}}"#
            )
        };
        let samples = [
            sample("usher:slo_total:increase5m", "1000.4"),
            sample("usher:slo_bad:increase5m", "3"),
            sample("usher:slo_total:increase_28d", "NaN"),
            sample("other", "3"),
        ];
        let body = format!(r#"{{"status":"success","data":{{"result":[{}]}}}}"#, samples.join(","));
        let counts = counts(body.as_bytes()).expect("it is an answer");
        let key = ("a".to_owned(), "availability".to_owned(), "5m".to_owned());
        assert_eq!(counts, [(key, [1000.4, 3.0])].into());
        assert!(super::counts(b"<html>").is_none() && super::counts(b"{}").is_none());
    }
}
