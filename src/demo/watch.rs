//! Watches how the audiences fare: lately, since the beginning, and around what somebody did.

use std::time::{Duration, Instant};

use super::{
    cast::CAST,
    fared::{Fared, sentence},
};
use crate::{
    app::Remote,
    control::{AudienceView, StatusView},
    meters::{
        AudienceReading,
        recent::{Lately, Recent},
    },
    name::Name,
};

/// Over how long the table looks back, and what was before something happened.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How long it is looked at what something brings.
pub const LOOK_FOR: Duration = Duration::from_secs(6);

/// What the meters have said.
pub struct Watch {
    first: (Instant, Vec<AudienceReading>),
    recent: Recent,
    looking: Option<Look>,
}

/// What is being looked at.
struct Look {
    cause: String,
    before: Vec<Fared>,
    readings: Recent,
    until: Instant,
}

// === impl Watch ===

impl Watch {
    /// Watches from `now` on.
    pub fn begin(now: Instant, readings: Vec<AudienceReading>) -> Self {
        let mut recent = Recent::new(WINDOW);
        recent.note(now, readings.clone());
        Self { first: (now, readings), recent, looking: None }
    }

    /// Notes what the meters say now. Returns the sentence about what somebody did, once enough
    /// has been seen of what it brought.
    pub fn note(&mut self, now: Instant, readings: Vec<AudienceReading>) -> Option<String> {
        self.recent.note(now, readings.clone());
        let mut look = self.looking.take_if(|look| now >= look.until)?;
        look.readings.note(now, readings);
        let after = Fared::of(&look.readings.lately());
        Some(sentence(&look.cause, &look.before, &after))
    }

    /// Looks at what `cause` brings from `now` on.
    pub fn look(&mut self, cause: String, now: Instant, readings: Vec<AudienceReading>) {
        self.recent.note(now, readings.clone());
        let before = Fared::of(&self.recent.lately());
        let mut noted = Recent::new(LOOK_FOR * 2);
        noted.note(now, readings);
        self.looking = Some(Look { cause, before, readings: noted, until: now + LOOK_FOR });
    }

    /// How much longer it looks at what somebody did.
    pub fn looks_for(&self, now: Instant) -> Option<Duration> {
        self.looking.as_ref().map(|look| look.until.saturating_duration_since(now))
    }

    /// How each audience fared since the beginning.
    pub fn since_the_beginning(&self, now: Instant, readings: Vec<AudienceReading>) -> Vec<Lately> {
        let mut whole = Recent::new(super::FOREVER);
        whole.note(self.first.0, self.first.1.clone());
        whole.note(now, readings);
        whole.lately()
    }

    /// The audiences of `status`, as they fared lately.
    pub fn audiences(&self, status: &StatusView) -> Vec<AudienceView> {
        let lately = self.recent.lately();
        let view = |told: &AudienceView| {
            let lately = lately.iter().find(|lately| lately.name.as_str() == told.name)?;
            let pool = Name::parse(&told.pool).ok()?;
            Some(AudienceView::new(lately, &pool, told.promise.clone()))
        };
        status.audiences.iter().filter_map(view).collect()
    }

    /// One line for where there is no terminal.
    pub fn line(&self, status: &StatusView) -> String {
        use crate::control::screen::{milliseconds, share};
        let audience = |it: &AudienceView| {
            let (p50, p99) = (milliseconds(it.p50_ms), milliseconds(it.p99_ms));
            format!("{} {:.0}/s p50 {p50} p99 {p99} bad {}", it.name, it.rate, share(it.bad))
        };
        let audiences: Vec<String> = self.audiences(status).iter().map(audience).collect();
        audiences.join("; ")
    }
}

// === free functions ===

/// What `remote` has counted of the demo's audiences, and only of those.
pub fn readings(remote: &Remote) -> Vec<AudienceReading> {
    let ours = |reading: &AudienceReading| CAST.iter().any(|it| it.name == reading.name.as_str());
    remote.audiences().into_iter().filter(ours).collect()
}
