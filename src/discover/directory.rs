//! All names there are, and what is known of each.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    Place, Question,
    kept::Kept,
    known::{Bounds, Change, Known, Tally, Trouble},
    resolver::Resolver,
};
use crate::config;

/// How long a name is remembered that nobody wants any more: a reload looks names up before
/// anybody else knows that they are wanted.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// How long a look-up may be under way before another is begun. All of them end sooner.
const UNDER_WAY_MAX: Duration = Duration::from_secs(60);

/// What one address behind a name may mean: usher cannot tell it from one Pod.
const CLUSTER_IP: &str = "a ClusterIP? use a headless Service (`clusterIP: None`), or every Pod \
    behind it shares the slots, the health and the weight of one endpoint";

/// What is known of names, shared by all pools that mention them.
#[derive(Debug, Default)]
pub struct Directory {
    settings: ArcSwap<config::Resolver>,
    resolver: Resolver,
    entries: Mutex<FxHashMap<Question, Entry>>,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    wanted: Instant,
}

/// How it stands with a name.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is asked.
    pub question: Question,
    /// The places in use.
    pub places: Vec<Place>,
    /// Why it has no answer, and since when.
    pub trouble: Option<Trouble>,
    /// How look-ups have ended.
    pub tally: Tally,
    /// Whether the places are those that the usher before this one had.
    pub inherited: bool,
}

// === impl Directory ===

impl Directory {
    /// Names are asked for in this way from now on; at once where that is another way.
    pub fn configure(&self, settings: &config::Resolver) {
        if **self.settings.load() == *settings {
            return;
        }
        self.settings.store(settings.clone().into());
        let now = Instant::now();
        self.entries.lock().values_mut().for_each(|entry| entry.known.put_off(now));
    }

    /// The places in use for `question`.
    pub fn places(&self, question: &Question) -> Vec<Place> {
        let entries = self.entries.lock();
        entries.get(question).map(|entry| entry.known.places().to_vec()).unwrap_or_default()
    }

    /// How it stands with `question`.
    pub fn report(&self, question: &Question) -> Report {
        let entries = self.entries.lock();
        match entries.get(question) {
            Some(entry) => Report::of(question, &entry.known),
            None => Report::of(question, &Known::new(Instant::now())),
        }
    }

    /// Those of `wanted` that are due, `most` at most, and how long nothing else is. They are not
    /// due again until they have been looked up.
    pub fn due(
        &self,
        wanted: &BTreeSet<Question>,
        now: Instant,
        most: usize,
    ) -> (Vec<Question>, Option<Duration>) {
        let mut entries = self.entries.lock();
        let (mut due, mut next) = (Vec::new(), None::<Duration>);
        for question in wanted {
            let new = || Entry { known: Known::new(now), wanted: now };
            let entry = entries.entry(question.clone()).or_insert_with(new);
            entry.wanted = now;
            let wait = entry.known.due().saturating_duration_since(now);
            if wait.is_zero() && due.len() < most {
                entry.known.put_off(now + UNDER_WAY_MAX);
                due.push(question.clone());
            } else {
                next = Some(next.map_or(wait, |next| next.min(wait)));
            }
        }
        entries.retain(|_, entry| now.saturating_duration_since(entry.wanted) < FORGET_AFTER);
        (due, next)
    }

    /// What another process is to know of these names.
    pub fn keep(&self, questions: impl Iterator<Item = Question>) -> Vec<Kept> {
        let kept = |question: &Question| Kept::of(question, &self.places(question));
        questions.map(|question| kept(&question)).filter(|kept| !kept.places.is_empty()).collect()
    }

    /// Takes over what another process knows of `question`, where nothing is known here: its
    /// look-up has failed, or is under way. Says whether there are places now.
    pub fn take_over(&self, question: &Question, kept: &[Kept]) -> bool {
        let Some(kept) = kept.iter().find(|kept| kept.is_about(question)) else { return false };
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let new = || Entry { known: Known::new(now), wanted: now };
        let entry = entries.entry(question.clone()).or_insert_with(new);
        let taken = entry.known.take_over(kept.places());
        let report = Report::of(question, &entry.known);
        drop(entries);
        if taken {
            let (name, source, kept) = (question.name(), question.source(), report.places.len());
            tracing::warn!(name, source, kept, "not resolved here: the addresses of before stay");
        }
        taken
    }

    /// Looks `question` up, and says whether it has other places now.
    pub async fn look_up(&self, question: &Question) -> bool {
        let settings = self.settings.load_full();
        let outcome = self.resolver.look_up(question, &settings).await;
        let bounds = Bounds { min: settings.ttl_min, max: settings.ttl_max };
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let new = || Entry { known: Known::new(now), wanted: now };
        let entry = entries.entry(question.clone()).or_insert_with(new);
        let moment = (now, SystemTime::now());
        let change = entry.known.note(outcome, bounds, moment, fastrand::f64());
        let report = Report::of(question, &entry.known);
        drop(entries);
        report.tell(&change);
        change.moves()
    }
}

// === impl Report ===

impl Report {
    fn of(question: &Question, known: &Known) -> Self {
        Self {
            question: question.clone(),
            places: known.places().to_vec(),
            trouble: known.trouble().cloned(),
            tally: known.tally(),
            inherited: known.is_inherited(),
        }
    }

    /// What is odd about it, and what to do about that.
    pub fn oddity(&self) -> Option<(String, &'static str)> {
        let Question::Hosts(name, _) = &self.question else { return None };
        let [Place { ip, .. }] = &*self.places else { return None };
        Some((format!("`{name}` has one address, {ip}"), CLUSTER_IP))
    }

    /// What is odd about it, in one sentence.
    pub fn warning(&self) -> Option<String> {
        self.oddity().map(|(oddity, hint)| format!("{oddity}: {hint}"))
    }

    /// Says what a look-up has changed, once for each change.
    fn tell(&self, change: &Change) {
        let (name, source) = (self.question.name(), self.question.source());
        if let Some(trouble) = self.trouble.as_ref().filter(|_| change.fails) {
            let (kept, why) = (self.places.len(), &trouble.failure);
            tracing::warn!(name, source, kept, "a name does not resolve: {why}");
        }
        if change.recovered {
            tracing::info!(name, source, addresses = self.places.len(), "a name resolves again");
        }
        if change.moves() {
            let (added, removed) = (listed(&change.added), listed(&change.removed));
            tracing::info!(name, source, added, removed, "a name has other addresses");
            if let Some(warning) = self.warning() {
                tracing::warn!(name, "{warning}");
            }
        }
    }
}

fn listed(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
