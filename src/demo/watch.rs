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

/// How long it takes to know how everybody fares when nothing happens.
const CALM_FOR: Duration = Duration::from_secs(4);

/// What is looked at, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is over by the end of this time, and so is what it brought.
    Passing(Duration),
    /// It lasts longer than it is looked at.
    Lasting(Duration),
}

/// What the meters have said.
pub struct Watch {
    first: (Instant, Vec<AudienceReading>),
    recent: Recent,
    /// Since something happened last.
    calm: Recent,
    calm_since: Instant,
    /// How everybody fares until enough of the calm has been seen.
    last_known: Option<Vec<Fared>>,
    looking: Option<Look>,
}

/// What is being looked at.
struct Look {
    cause: String,
    event: Event,
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
        let mut calm = Recent::new(WINDOW);
        calm.note(now, readings.clone());
        Self {
            first: (now, readings),
            recent,
            calm,
            calm_since: now,
            last_known: None,
            looking: None,
        }
    }

    /// Notes what the meters say now. Returns the sentence about what somebody did, once enough
    /// has been seen of what it brought.
    pub fn note(&mut self, now: Instant, readings: Vec<AudienceReading>) -> Option<String> {
        self.recent.note(now, readings.clone());
        self.calm.note(now, readings.clone());
        let mut look = self.looking.take_if(|look| now >= look.until)?;
        self.calm = Recent::new(WINDOW);
        self.calm.note(now, readings.clone());
        self.calm_since = now;
        look.readings.note(now, readings);
        let after = Fared::of(&look.readings.lately());
        let told = sentence(&look.cause, &look.before, &after);
        self.last_known = Some(match look.event {
            Event::Passing(_) => look.before,
            Event::Lasting(_) => after,
        });
        Some(told)
    }

    /// Looks at what `cause` brings from `now` on.
    pub fn look(
        &mut self,
        cause: String,
        event: Event,
        now: Instant,
        readings: Vec<AudienceReading>,
    ) {
        self.calm.note(now, readings.clone());
        let settled = now.saturating_duration_since(self.calm_since) >= CALM_FOR;
        let known = self.last_known.take().filter(|_| !settled);
        let before = known.unwrap_or_else(|| Fared::of(&self.calm.lately()));
        let (Event::Passing(time) | Event::Lasting(time)) = event;
        let mut noted = Recent::new(time * 2);
        noted.note(now, readings);
        self.looking = Some(Look { cause, event, before, readings: noted, until: now + time });
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::StatusCode;

    use super::*;
    use crate::{
        demo::cast::FLOODED,
        fault::Outcome,
        meters::{Arm, ExchangeMeter, Meters, Settled},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn admins(meters: &Meters) -> Arc<ExchangeMeter> {
        let name = Name::parse(CAST[FLOODED].name).expect("a name");
        meters.exchange(&name, &name, Arm::Stable, &[])
    }

    fn serve(meter: &ExchangeMeter, first_byte: Duration) {
        for _ in 0..10 {
            meter.open(0);
            meter.settle(
                0,
                &Settled {
                    status: Some(StatusCode::OK),
                    outcome: Outcome::Served,
                    fault: None,
                    first_byte: Some(first_byte),
                    duration: Some(first_byte),
                },
            );
        }
    }

    /// What is said of an event at second 10 and of one right after it. The first one makes the
    /// admins wait from then on, or until it is over.
    fn told(event: Event) -> (String, String) {
        let meters = Meters::new(1, &[]);
        let meter = admins(&meters);
        let start = Instant::now();
        let mut watch = Watch::begin(start, meters.audiences());
        serve(&meter, SECOND / 10);
        let first = start + 10 * SECOND;
        watch.look("first".to_owned(), event, first, meters.audiences());
        serve(&meter, 3 * SECOND);
        assert_eq!(watch.note(first + 5 * SECOND, meters.audiences()), None, "too early");
        let one = watch.note(first + 6 * SECOND, meters.audiences()).expect("it is time");
        let second = first + 6 * SECOND;
        watch.look("second".to_owned(), Event::Lasting(6 * SECOND), second, meters.audiences());
        serve(&meter, if event == Event::Passing(6 * SECOND) { SECOND / 10 } else { 3 * SECOND });
        let other = watch.note(second + 6 * SECOND, meters.audiences()).expect("it is time");
        (one, other)
    }

    #[test]
    fn what_has_passed_is_not_the_doing_of_what_comes_next() {
        let (first, second) = told(Event::Passing(6 * SECOND));
        assert!(first.starts_with("first: admins now wait "), "{first}");
        assert!(second.starts_with("second, and all are unaffected: "), "{second}");
    }

    #[test]
    fn what_lasts_is_how_it_was_before_what_comes_next() {
        let (first, second) = told(Event::Lasting(6 * SECOND));
        assert!(first.starts_with("first: admins now wait "), "{first}");
        assert!(second.starts_with("second, and all are unaffected: "), "{second}");
    }
}
