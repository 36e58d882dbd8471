//! Whom the log warns of, in which words, and how often.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

use std::{cell::Cell, fs, io, path::Path, pin::pin};

use parking_lot::Mutex;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::config::LoadOptions;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Writes down what is logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

// === impl Written ===

impl Written {
    /// What `act` logs, a line each.
    fn of(act: impl FnOnce()) -> Vec<String> {
        let (written, listening) = Self::start();
        act();
        drop(listening);
        written.lines()
    }

    /// What this thread logs until the guard is dropped.
    fn start() -> (Self, DefaultGuard) {
        let written = Self::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (written, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts `NAME.pem` into `directory`: a certificate of `CN=NAME` until `ends`, and its key.
fn put(directory: &Path, name: &str, ends: SystemTime) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = ends.into();
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("it is signed");
    let both = [certificate.pem(), key.serialize_pem()].concat();
    fs::write(directory.join(format!("{name}.pem")), both).expect("it can be written");
}

/// A configuration that shows clients four certificates, one of them at two doors, and endpoints a
/// fifth.
fn config(directory: &Path) -> Config {
    let at = directory.display();
    let file = |name: &str| format!("{{ cert: {at}/{name}.pem, key: {at}/{name}.pem }}");
    let [past, soon, early, late, usher] = ["past", "soon", "early", "late", "usher"].map(file);
    let text = format!(
        "listeners:\n\
         - {{ bind: 127.0.0.1:1, tls: {{ certificates: [{past}, {late}, {early}] }} }}\n\
         - {{ bind: 127.0.0.1:2, tls: {{ certificates: [{soon}, {past}] }} }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [127.0.0.1:3], capacity: 5, \
                             tls: {{ certificate: {usher}, dangerously_unverified: on }} }} }}\n"
    );
    let parsed = config::parse_text("test.yaml", &text, &LoadOptions::default());
    parsed.unwrap_or_else(|problems| panic!("{problems}")).0
}

#[test]
fn an_end_is_told_of_two_weeks_before_and_afterwards() {
    let now = SystemTime::now();
    assert_eq!(End::of(now + 20 * DAY, now), None);
    assert_eq!(End::of(now + 14 * DAY, now), None);
    assert_eq!(End::of(now + 14 * DAY - HOUR, now), Some(End::In(14 * DAY - HOUR)));
    assert_eq!(End::of(now, now), Some(End::In(Duration::ZERO)));
    assert_eq!(End::of(now - DAY, now), Some(End::Past));
}

#[test]
fn each_that_ends_is_told_of_once_a_day_and_as_an_error_when_it_has_ended() {
    let (directory, now) = (tempfile::tempdir().expect("a directory"), SystemTime::now());
    for (name, ends) in [
        ("past", now - DAY),
        ("soon", now + 5 * DAY + HOUR),
        ("early", now + 14 * DAY + HOUR + HOUR / 2),
        ("late", now + 90 * DAY),
        ("usher", now + DAY + HOUR),
    ] {
        put(directory.path(), name, ends);
    }
    let (config, mut said) = (config(directory.path()), Said::default());
    let mut told = |after: Duration| Written::of(|| said.look(&config, now + after));
    let past = "ERROR a certificate has ended: who is shown it turns away subject=";
    let soon = "WARN a certificate ends soon: has its renewal stopped? subject=";
    assert_eq!(
        told(Duration::ZERO),
        [
            format!("{past}\"CN=past\""),
            format!("{soon}\"CN=soon\" days=5"),
            format!("{soon}\"CN=usher\" days=1"),
        ]
    );
    assert_eq!(told(HOUR), [""; 0]);
    // The fourteen days of one more begin; of the others nothing is said again.
    assert_eq!(told(2 * HOUR), [format!("{soon}\"CN=early\" days=13")]);
    assert_eq!(told(23 * HOUR), [""; 0]);
    assert_eq!(
        told(24 * HOUR),
        [
            format!("{past}\"CN=past\""),
            format!("{soon}\"CN=soon\" days=4"),
            format!("{soon}\"CN=usher\" days=0"),
        ]
    );
    assert_eq!(told(26 * HOUR), [format!("{soon}\"CN=early\" days=12")]);
    // One day more, and the endpoints' has ended.
    let last = told(48 * HOUR);
    assert_eq!(last[2], format!("{past}\"CN=usher\""), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_look_is_taken_every_hour_and_the_first_after_one() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["past", "early", "late", "usher"] {
        put(directory.path(), name, SystemTime::now() + 90 * DAY);
    }
    put(directory.path(), "soon", SystemTime::now() + 5 * DAY + HOUR);
    let (config, looks) = (Arc::new(config(directory.path())), Cell::new(0));
    let (written, _listening) = Written::start();
    let mut watching = pin!(watch(|| {
        looks.set(looks.get() + 1);
        config.clone()
    }));
    for (hours, seen) in [(HOUR - HOUR / 60, 0), (HOUR / 30, 1), (3 * HOUR, 4)] {
        timeout(hours, &mut watching).await.expect_err("it goes on");
        assert_eq!(looks.get(), seen);
    }
    let soon = "WARN a certificate ends soon: has its renewal stopped? subject=\"CN=soon\" days=5";
    assert_eq!(written.lines(), [soon], "once, within the day");
}
