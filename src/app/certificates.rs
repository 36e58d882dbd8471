//! Looks at the ends of certificates, so that a renewal that has stopped is heard of in time.
//!
//! `check` and every reload say the same; but nobody reloads where nothing changes, and that is
//! just when a certificate is about to end.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    config::{self, Config},
    tls::Certificate,
};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// How often the same is said.
const SAY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What was said about certificates, by their fingerprints, and when.
#[derive(Default)]
struct Said(HashMap<String, SystemTime>);

/// What there is to say about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It ends so soon.
    In(Duration),
    /// It has ended.
    Past,
}

/// Warns of certificates of the `current` configuration that end soon, for as long as the house
/// stands.
pub(super) async fn watch(current: impl Fn() -> Arc<Config>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The start has warned of what there is to warn of.
    ticks.tick().await;
    let mut said = Said::default();
    loop {
        ticks.tick().await;
        said.look(&current(), SystemTime::now());
    }
}

// === impl Said ===

impl Said {
    /// Tells of every certificate of `config` that ends soon or has ended, unless it was told of
    /// within a day: of those that clients are shown, and of those that endpoints are.
    fn look(&mut self, config: &Config, now: SystemTime) {
        let specs = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let shown = config.pools.iter().filter_map(|pool| pool.dialect.certificate());
        for certificate in specs.flat_map(|spec| &spec.certificates).chain(shown) {
            let Some(end) = End::of(certificate.expires(), now) else { continue };
            if self.is_due(certificate.fingerprint(), now) {
                end.tell(certificate);
            }
        }
    }

    /// Whether it is time to say something about this certificate again; notes that it is said.
    fn is_due(&mut self, fingerprint: &str, now: SystemTime) -> bool {
        let lately = |at: &SystemTime| now.duration_since(*at).is_ok_and(|ago| ago < SAY_EVERY);
        self.0.retain(|_, at| lately(at));
        let due = !self.0.contains_key(fingerprint);
        if due {
            self.0.insert(fingerprint.to_owned(), now);
        }
        due
    }
}

// === impl End ===

impl End {
    fn of(expires: SystemTime, now: SystemTime) -> Option<Self> {
        match expires.duration_since(now) {
            Err(_past) => Some(End::Past),
            Ok(left) if left < config::EXPIRY_WARNED => Some(End::In(left)),
            Ok(_) => None,
        }
    }

    fn tell(self, certificate: &Certificate) {
        let subject = certificate.subject();
        match self {
            End::Past => {
                tracing::error!(subject, "a certificate has ended: who is shown it turns away")
            }
            End::In(left) => {
                let days = left.as_secs() / (24 * 3600);
                tracing::warn!(subject, days, "a certificate ends soon: has its renewal stopped?");
            }
        }
    }
}

#[cfg(test)]
mod tests;
