//! A real Puma with the Rails application of `tests/rails`, started for one test.
//!
//! Nothing here waits by the clock. Puma says on its standard output when and where it listens; it
//! ends when its standard input does, so that it never outlives the test, however that ends.

// Each test program uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

/// How a pool's Puma is tuned, before it is started.
#[derive(Clone, Debug)]
pub struct Plan {
    pool: String,
    address: String,
    threads: u32,
    workers: u32,
    namespace: Option<String>,
    environment: Vec<(String, String)>,
}

/// A running Puma. Dropping it kills it and all its workers.
#[derive(Debug)]
pub struct Puma {
    /// Where it listens, written as in a pool's `endpoints`: `127.0.0.1:40123` or `unix:/path`.
    pub address: String,
    child: Child,
    log: PathBuf,
    plan: Plan,
    directory: TempDir,
}

// === impl Plan ===

impl Plan {
    /// `threads` in each of `workers` processes; without workers, in Puma's only process.
    pub fn new(pool: &str, threads: u32, workers: u32) -> Self {
        Self {
            pool: pool.to_owned(),
            address: "127.0.0.1:0".to_owned(),
            threads,
            workers,
            namespace: None,
            environment: Vec::new(),
        }
    }

    /// Listens on this `HOST:PORT` or `unix:PATH` instead of any free port of 127.0.0.1.
    pub fn at(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// Runs in this network namespace.
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Adds an environment variable; `tests/rails/bin/pool` lists those that mean something.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts Puma and returns once it listens. Panics, with Puma's log, when it does not.
    pub fn start(self) -> Puma {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let log = directory.path().join("puma.log");
        let (child, address) = launch(&self, directory.path(), &log);
        Puma { address, child, log, plan: self, directory }
    }
}

// === impl Puma ===

impl Puma {
    /// Starts a Puma with nothing special about it.
    pub fn start(pool: &str, threads: u32, workers: u32) -> Self {
        Plan::new(pool, threads, workers).start()
    }

    /// The process that leads Puma's process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What Puma and Rails have written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills Puma and its workers at once, and returns when they are gone.
    pub fn kill(&mut self) {
        // Once it has been waited for, its number may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
        }
        self.child.wait().expect("the child is ours to wait for");
    }

    /// Asks Puma to end what it is doing and stop, and returns when it has.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process(pid(&self.child), Signal::TERM).expect("the child is ours to signal");
        }
        self.child.wait().expect("the child is ours to wait for");
    }

    /// Has Puma start its workers anew, one after the other, while the others serve.
    pub fn restart_in_phases(&self) {
        kill_process(pid(&self.child), Signal::USR1).expect("the child is ours to signal");
    }

    /// Stops Puma and its workers in their tracks: connections are accepted by the kernel, and
    /// nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen Puma go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts a killed or stopped Puma again, at the same address and with the same database.
    pub fn restart(&mut self) {
        let plan = self.plan.clone().at(&self.address);
        let (child, address) = launch(&plan, self.directory.path(), &self.log);
        self.child = child;
        self.address = address;
    }

    fn signal(&self, signal: Signal) {
        kill_process_group(pid(&self.child), signal).expect("the group is ours to signal");
    }
}

impl Drop for Puma {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(plan: &Plan, directory: &Path, log: &Path) -> (Child, String) {
    let rails = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rails");
    let append = || File::options().create(true).append(true).open(log).expect("the log opens");
    let database = directory.join("shop.sqlite3");
    let pool = rails.join("bin/pool");
    let mut command = match &plan.namespace {
        None => Command::new(pool),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(pool);
            command
        }
    };
    let mut child = command
        .args([&plan.pool, &plan.address])
        .args([plan.threads.to_string(), plan.workers.to_string()])
        .env("DATABASE_URL", format!("sqlite3:{}", database.display()))
        .env("LIFELINE", "stdin")
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(append())
        .process_group(0)
        .spawn()
        .expect("tests/rails/bin/pool can be run");
    let mut output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    let mut file = append();
    match wait_until_ready(&mut output, &mut file) {
        Some(address) => {
            thread::spawn(move || io::copy(&mut output, &mut file));
            (child, address)
        }
        None => {
            let status = child.wait().expect("the child is ours to wait for");
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("Puma of pool {} did not start ({status}); its log:\n{log}", plan.pool);
        }
    }
}

/// Reads on until Puma says where it listens; `None` when it ends before that.
fn wait_until_ready(output: &mut BufReader<ChildStdout>, log: &mut File) -> Option<String> {
    let mut line = String::new();
    while output.read_line(&mut line).ok()? > 0 {
        if let Some(address) = line.strip_prefix("ready ") {
            return Some(address.trim_end().to_owned());
        }
        io::Write::write_all(log, line.as_bytes()).ok()?;
        line.clear();
    }
    None
}

fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id is positive")
}
