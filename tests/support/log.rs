//! What usher says in its log, to tests that run it in their own process.
//!
//! There is one log for all ushers of a process: whoever asks looks for what only its own can say,
//! such as the address of its client.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;

use super::origin::PATIENCE;

/// What was said.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

/// The warnings and errors of this process from the first call on, a line each, as
/// `WARN what field=…`.
pub fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let written = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::WARN)
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_writer(move || written.clone())
            .init();
        log
    })
}

// === impl Log ===

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    /// Waits until it says `line`.
    pub async fn says(&self, line: &str) {
        let said = async {
            while !self.text().lines().any(|said| said.trim() == line) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, said).await.is_err() {
            panic!("never: {line}\n{}", self.text());
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
