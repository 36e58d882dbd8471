//! Who changed what, why, and who tried to: one line each.
//!
//! Each line goes to the log for people and, where a file is configured, to that as a JSON object.
//! It is written by the house before the answer goes out. A file that cannot be written to is said
//! in the log and in the status; it stops no operator, who has worse to do at that hour.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

/// How many refused attempts are written down in one second; the rest is counted.
const REFUSED_MAX: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Writes down changes.
#[derive(Debug)]
pub struct Audit {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

/// What is written down about one change, or about one attempt. The fields of the file's lines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Deed {
    /// The name of the token, else what else made usher do it: `loopback`, `unix`, `signal` or
    /// `file`.
    pub who: String,
    /// Who says to have asked, which nobody has checked.
    pub operator: Option<String>,
    /// From where it was asked.
    pub from: Option<String>,
    /// What was asked for: `reload`, `pause`, or a method and path that were refused.
    pub action: String,
    /// For what it was asked.
    pub target: Option<String>,
    /// The reason that was given.
    pub why: Option<String>,
    /// What held before.
    pub before: Value,
    /// What holds now.
    pub after: Value,
    /// `done`, `unchanged` or `refused`.
    pub result: &'static str,
    /// Why it was refused, or what came of it.
    pub detail: Option<String>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    trouble: Option<String>,
    second: Instant,
    refused: u32,
    left_out: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    deed: &'a Deed,
    /// Refused attempts before this line that were not written down.
    left_out: u64,
}

// === impl Audit ===

impl Audit {
    /// Writes to the log, and to the end of `path` where there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be opened for appending.
    pub fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let file = path.as_ref().map(open).transpose()?;
        let second = Instant::now();
        let state = State { file, trouble: None, second, refused: 0, left_out: 0 };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Writes down what was done, or what was not and why.
    pub fn note(&self, deed: &Deed) {
        let mut state = self.state.lock();
        if deed.result == "refused" && !state.has_room(Instant::now()) {
            state.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut state.left_out);
        tell(deed, left_out);
        if let Some(error) = state.write(deed, left_out).err() {
            tracing::error!(%error, "the audit's file cannot be written to");
            state.trouble = Some(format!("the audit's file cannot be written to: {error}"));
        }
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(file) => self.state.lock().file = Some(file),
            Err(error) => tracing::error!(%error, "the audit's file cannot be opened anew"),
        }
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }
}

// === impl State ===

impl State {
    /// Whether one more refused attempt may be written down at `now`.
    fn has_room(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.refused) = (now, 0);
        }
        self.refused += 1;
        self.refused <= REFUSED_MAX
    }

    fn write(&mut self, deed: &Deed, left_out: u64) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let time = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        let line = Line { time: format!("{time:.3}"), deed, left_out };
        // One write, so that two processes do not tear each other's lines.
        file.write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())?;
        self.trouble = None;
        Ok(())
    }
}

// === free functions ===

fn open(path: &PathBuf) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// The line for people.
fn tell(deed: &Deed, left_out: u64) {
    let Deed { who, operator, from, action, target, why, before, after, result, detail } = deed;
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let left_out = (left_out > 0).then_some(left_out);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "usher::audit",
                who, operator, from, action, target, why, before = text(before),
                after = text(after), result, detail, left_out, "audit"
            )
        };
    }
    if *result == "refused" { line!(warn) } else { line!(info) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refused(action: &str) -> Deed {
        Deed { who: "nobody".into(), action: action.into(), result: "refused", ..Deed::default() }
    }

    fn lines(path: &PathBuf) -> Vec<Value> {
        let text = fs::read_to_string(path).expect("it is there");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_deed_is_one_line_with_everything_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.json");
        let audit = Audit::open(Some(path.clone())).expect("it opens");
        audit.note(&Deed {
            who: "oncall".into(),
            action: "pause".into(),
            target: Some("audience:customer".into()),
            why: Some("two\nlines \"quoted\"".into()),
            after: "paused".into(),
            result: "done",
            ..Deed::default()
        });
        fs::rename(&path, directory.path().join("old.json")).expect("it is there");
        audit.reopen();
        audit.note(&refused("resume"));
        let old = lines(&directory.path().join("old.json"));
        assert_eq!(
            (old.len(), &old[0]["who"], &old[0]["result"]),
            (1, &"oncall".into(), &"done".into())
        );
        assert_eq!(old[0]["why"], "two\nlines \"quoted\"");
        assert!(old[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert_eq!(lines(&path)[0]["action"], "resume");
    }

    #[test]
    fn a_flood_of_refused_attempts_is_counted_and_hides_no_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.json");
        let audit = Audit::open(Some(path.clone())).expect("it opens");
        let start = Instant::now();
        (0..1_000).for_each(|_| audit.note(&refused("GET /")));
        audit.note(&Deed { result: "done", ..refused("reload") });
        let lines = lines(&path);
        // A slow machine may have seen more than one second go by.
        let seconds = start.elapsed().as_secs() as usize + 1;
        assert!(lines.len() <= 10 * seconds + 1, "{} lines", lines.len());
        let last = &lines[lines.len() - 1];
        let written = lines.len() as u64 - 1;
        assert_eq!(last["action"], "reload");
        let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        assert_eq!(left_out + written, 1_000);
    }

    #[test]
    fn a_disk_that_is_full_is_told() {
        let audit = Audit::open(Some("/dev/full".into())).expect("it opens");
        audit.note(&refused("reload"));
        assert!(audit.trouble().expect("it cannot be written").contains("No space left"));
    }
}
