//! The system calls of a process, thread by thread, as `strace` sees them.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// An `strace` that is attached to a process.
pub struct Strace {
    child: Child,
    stderr: BufReader<ChildStderr>,
    directory: TempDir,
    threads: BTreeMap<String, String>,
}

/// How often each thread made each system call.
pub struct Calls(BTreeMap<(String, String), u64>);

// === impl Strace ===

impl Strace {
    /// Attaches to all threads of `process`, and returns once it sees them.
    pub fn attach(process: Pid) -> Self {
        let process = process.as_raw_nonzero();
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut child = Command::new("strace")
            .args(["-f", "-p", &process.to_string(), "-o"])
            .arg(directory.path().join("calls"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let mut said = String::new();
        while !said.contains("attached") {
            let read = stderr.read_line(&mut said).expect("strace speaks text");
            assert!(read > 0, "strace did not attach: {said}");
        }
        Self { child, stderr, directory, threads: threads(process) }
    }

    /// Detaches, and says what it saw.
    pub fn detach(mut self) -> Calls {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id is positive"), Signal::INT).expect("it is ours");
        // What it says about detaching is of no interest, but it must be able to say it.
        let said = self.stderr.lines().count();
        self.child.wait().expect("the child is ours to wait for");
        let text = fs::read_to_string(self.directory.path().join("calls"));
        let text = text.unwrap_or_else(|error| panic!("{error} ({said} lines on stderr)"));
        Calls::parse(&text, &self.threads)
    }
}

/// The names of a process's threads, by their numbers.
fn threads(process: impl fmt::Display) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let named = tasks.map(|task| {
        let task = task.expect("a thread").path();
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let id = task.file_name().expect("a number").to_string_lossy().into_owned();
        (id, name.trim_end().to_owned())
    });
    named.collect()
}

// === impl Calls ===

impl Calls {
    /// Reads lines such as `1234 read(5, "…", 16) = 3`. A call that another thread's interrupts
    /// has two lines and counts once.
    fn parse(text: &str, threads: &BTreeMap<String, String>) -> Self {
        let mut calls = BTreeMap::new();
        for line in text.lines() {
            let Some((id, call)) = line.split_once(' ') else { continue };
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let thread = threads.get(id).map_or("(new)", |thread| thread);
            *calls.entry((thread.to_owned(), name.to_owned())).or_default() += 1;
        }
        Self(calls)
    }

    /// How often threads whose name begins with `thread` made one of the calls `names`.
    pub fn of(&self, thread: &str, names: &[&str]) -> u64 {
        let fits = |(by, name): &(String, String)| {
            by.starts_with(thread) && names.contains(&name.as_str())
        };
        self.0.iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }

    /// How often threads whose name begins with `thread` made any call but `names`.
    pub fn of_others(&self, thread: &str, names: &[&str]) -> u64 {
        let fits = |(by, name): &(String, String)| {
            by.starts_with(thread) && !names.contains(&name.as_str())
        };
        self.0.iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:<16} {:>8}", "thread", "call", "calls")?;
        for ((thread, name), count) in &self.0 {
            writeln!(f, "{thread:<16} {name:<16} {count:>8}")?;
        }
        Ok(())
    }
}
