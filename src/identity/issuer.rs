//! Whoever publishes keys at a URL, and what is known of them.
//!
//! An [`Issuer`] outlives snapshots. The house asks it and tells it what came (`app/issuers`);
//! workers verify with the keys that it has, which are swapped whole. Nothing here waits or opens a
//! socket, and time is an argument.
//!
//! ```text
//!            due ──▶ begun ──┬▶ learned: keys are swapped, due again when they are old
//!   wanted ──┘               └▶ failed:  the last good keys stay, due again soon
//! ```
//!
//! **Invariant:** keys that were good once are used until other good ones have come.

mod kept;
mod schedule;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwapOption;
use http::Uri;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::{Algorithm, Key, KeyError, PassedOver, keys::published_set};
use crate::tls;

use schedule::Schedule;

pub use kept::KeptKeys;

/// What is offered inside TLS (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";

/// Where keys are published, and how they are fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSpec {
    /// Where.
    pub url: Uri,
    /// How old keys may become before they are fetched anew.
    pub refresh: Duration,
    /// Who must have signed the certificate that is shown there; `None` in plain HTTP.
    pub roots: Option<tls::Roots>,
    /// The algorithms that keys are for; the usual one of each when empty.
    pub algorithms: Vec<Algorithm>,
}

/// Whoever publishes keys, and what is known of them.
pub struct Issuer {
    spec: IssuerSpec,
    /// How hands are shaken with whoever is there; `None` in plain HTTP.
    tls: Option<Arc<ClientConfig>>,
    /// The keys that tokens are verified with; none before they were fetched for the first time.
    keys: ArcSwapOption<Vec<Key>>,
    /// Counts up whenever the keys are others.
    edition: AtomicU64,
    /// Whether a token has named a key that is not among them.
    wanted: AtomicBool,
    state: Mutex<State>,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A JWK set, as far as that is known.
    pub text: String,
    /// How long it stays fresh, if that was said.
    pub fresh: Option<Duration>,
}

/// What came of an answer, or of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned {
    /// There are other keys from now on: so many, and those that were passed over.
    Changed(usize, Vec<PassedOver>),
    /// They are what they were. Whether they could not be had the last time.
    Unchanged(bool),
    /// There are none to be had: why, when it is the first time since there were.
    Failed(Option<String>),
}

/// How it stands with the keys of an issuer.
#[derive(Clone, Debug)]
pub struct IssuerReport {
    /// Where they are fetched.
    pub url: String,
    /// How many are in use; `None` before they were fetched for the first time.
    pub keys: Option<usize>,
    /// Keys that cannot be used here.
    pub passed_over: Vec<PassedOver>,
    /// When they were last fetched.
    pub fetched: Option<SystemTime>,
    /// Since when they cannot be fetched, and why.
    pub trouble: Option<(SystemTime, String)>,
    /// How often they were fetched, by what came of it.
    pub fetches: [(&'static str, u64); 3],
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    kept: Option<Kept>,
    trouble: Option<(SystemTime, String)>,
    changed: u64,
    unchanged: u64,
    failed: u64,
}

/// What the keys in use were read from.
#[derive(Clone, Debug)]
struct Kept {
    text: Arc<str>,
    fetched: SystemTime,
    passed_over: Vec<PassedOver>,
}

// === impl IssuerSpec ===

impl IssuerSpec {
    /// How hands are shaken there; `None` in plain HTTP.
    ///
    /// # Errors
    /// The roots are of no use to rustls, which says why.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(None) };
        let trust = tls::Trust::Roots(roots.clone());
        let spec = tls::ClientSpec { trust, name: None, certificate: None };
        Ok(Some(tls::Client::new(&spec, &[HTTP1])?.config(0)))
    }

    /// Where, without what a query may hold.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Whether what was fetched by one is what the other would have got.
    fn is_same_place(&self, other: &Self) -> bool {
        self.url == other.url && self.roots == other.roots
    }

    /// What the roots are, in a few letters.
    fn trust(&self) -> String {
        self.roots.as_ref().map_or_else(String::new, tls::Roots::fingerprint)
    }
}

// === impl Issuer ===

impl Issuer {
    /// One of whom nothing is known.
    pub fn new(spec: IssuerSpec, now: Instant) -> Self {
        let tls = spec.tls().expect("it was tried when the configuration was read");
        let schedule = Schedule::new(spec.refresh, now);
        let state =
            State { schedule, kept: None, trouble: None, changed: 0, unchanged: 0, failed: 0 };
        let (keys, edition, wanted) = Default::default();
        Self { spec, tls, keys, edition, wanted, state: Mutex::new(state) }
    }

    /// One with another spec that knows what `known` does, as far as that is the same place.
    pub fn succeeding(spec: IssuerSpec, known: &Self, now: Instant) -> Self {
        let issuer = Self::new(spec, now);
        if issuer.spec.is_same_place(&known.spec) {
            known.keep().into_iter().for_each(|kept| issuer.take_over(kept, now));
        }
        issuer
    }

    /// Where it is and how it is asked.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// How hands are shaken; `None` in plain HTTP.
    pub fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    /// Whether what `spec` wants may go on from what is known here.
    pub fn is_at(&self, spec: &IssuerSpec) -> bool {
        self.spec.is_same_place(spec)
    }

    /// The keys that are in use; `None` before there were any.
    pub(super) fn keys(&self) -> Option<Arc<Vec<Key>>> {
        self.keys.load_full()
    }

    /// Which keys these are. What was verified with those of another edition is worth nothing.
    ///
    /// It is to be read **before** the keys: it moves after them, so that what was verified with
    /// old keys is never remembered under the edition of new ones.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// A token names a key that is not here: perhaps it has been added. Costs a flood of such
    /// tokens one load each.
    pub(super) fn want(&self) {
        if !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    /// How long it is until it is to be asked; nothing when it is time.
    pub fn due(&self, now: Instant) -> Duration {
        self.state.lock().schedule.due(self.wanted.load(Ordering::Relaxed), now)
    }

    /// It is being asked from now on.
    pub fn begin(&self, now: Instant) {
        let wanted = self.wanted.swap(false, Ordering::Relaxed);
        self.state.lock().schedule.begin(wanted, now);
    }

    /// It has answered, or why not. `chance`, between 0 and 1, keeps replicas apart.
    pub fn learn(
        &self,
        answer: Result<Answer, String>,
        (now, at): (Instant, SystemTime),
        chance: f64,
    ) -> Learned {
        let read = answer.and_then(|answer| {
            let set = published_set(answer.text.as_bytes(), &self.spec.algorithms);
            set.map(|set| (answer, set)).map_err(|error| told(&error))
        });
        let mut state = self.state.lock();
        let (answer, (keys, passed_over)) = match read {
            Ok(read) => read,
            Err(why) => {
                state.failed += 1;
                state.schedule.fail(now, chance);
                let first = state.trouble.is_none();
                let since = state.trouble.as_ref().map_or(at, |(since, _)| *since);
                state.trouble = Some((since, why.clone()));
                return Learned::Failed(first.then_some(why));
            }
        };
        state.schedule.learn(answer.fresh, now, chance);
        let recovered = state.trouble.take().is_some();
        if let Some(kept) = state.kept.as_mut().filter(|kept| *kept.text == *answer.text) {
            kept.fetched = at;
            state.unchanged += 1;
            return Learned::Unchanged(recovered);
        }
        state.changed += 1;
        let (count, told) = (keys.len(), passed_over.clone());
        state.kept = Some(Kept { text: answer.text.into(), fetched: at, passed_over });
        self.swap(keys);
        Learned::Changed(count, told)
    }

    /// How it stands.
    pub fn report(&self) -> IssuerReport {
        let state = self.state.lock();
        let kept = state.kept.as_ref();
        IssuerReport {
            url: self.spec.shown(),
            keys: self.keys().map(|keys| keys.len()),
            passed_over: kept.map(|kept| kept.passed_over.clone()).unwrap_or_default(),
            fetched: kept.map(|kept| kept.fetched),
            trouble: state.trouble.clone(),
            fetches: [
                ("changed", state.changed),
                ("unchanged", state.unchanged),
                ("failed", state.failed),
            ],
        }
    }

    /// What another process is told.
    pub fn keep(&self) -> Option<KeptKeys> {
        let kept = self.state.lock().kept.clone()?;
        Some(KeptKeys {
            url: self.spec.url.to_string(),
            trust: self.spec.trust(),
            text: kept.text.to_string(),
            fetched: seconds(kept.fetched),
        })
    }

    /// Takes over what another process knew, unless more is known here or it is of elsewhere.
    pub fn take_over(&self, kept: KeptKeys, now: Instant) {
        if kept.url != self.spec.url.to_string() || kept.trust != self.spec.trust() {
            return;
        }
        let mut state = self.state.lock();
        let fetched = SystemTime::UNIX_EPOCH + Duration::from_secs(kept.fetched);
        if state.kept.as_ref().is_some_and(|known| known.fetched >= fetched) {
            return;
        }
        let Ok((keys, passed_over)) = published_set(kept.text.as_bytes(), &self.spec.algorithms)
        else {
            return;
        };
        let age = SystemTime::now().duration_since(fetched).unwrap_or_default();
        state.schedule.resume(age, now);
        state.kept = Some(Kept { text: kept.text.into(), fetched, passed_over });
        self.swap(keys);
    }

    /// Puts other keys to use: the keys first, and then what says that they are others.
    fn swap(&self, keys: Vec<Key>) {
        self.keys.store(Some(Arc::new(keys)));
        self.edition.fetch_add(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// A URL without what its query may hold.
fn shown(url: &Uri) -> String {
    url.to_string().split('?').next().unwrap_or_default().to_owned()
}

fn told(error: &KeyError) -> String {
    format!("what it answers is of no use: {error}")
}

/// Since 1970.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
