//! The real `usher` binary on free ports, with a configuration of its own.
//!
//! It says on standard error where it listens, for people; what is read from there is only the
//! address behind each `http://`, in the order of the configuration. It is ready when its metrics
//! port says so.
//!
//! It runs by a link in a directory of its own, so that a test can put another binary in its place.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    client::Client,
    origin::PATIENCE,
    usher::{Samples, listener_tls},
};

/// What every configuration of a test begins with: free ports, all of them.
pub const PORTS: &str = "listeners: [{ bind: 127.0.0.1:0 }]\n\
    control: { bind: 127.0.0.1:0 }\n\
    metrics: { bind: 127.0.0.1:0 }\n";

/// [`PORTS`], and clients speak there as this test binary does.
pub fn ports() -> String {
    PORTS.replacen("bind: 127.0.0.1:0", &format!("bind: 127.0.0.1:0{}", listener_tls()), 1)
}

/// A running `usher run`. Dropping it kills it.
pub struct Binary {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// The operators' port.
    pub control: SocketAddr,
    /// The port that Prometheus scrapes.
    pub metrics: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
    ended: Receiver<()>,
    directory: TempDir,
    /// Processes that took over. They are nobody's children.
    heirs: Mutex<Vec<Pid>>,
}

/// `usher` with `arguments`, in an environment that says nothing about usher.
pub fn usher(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.args(arguments).stdin(Stdio::null());
    alone(&mut command);
    command
}

/// Has `command` know nothing about usher.
fn alone(command: &mut Command) {
    for variable in ["USHER_CONFIG", "USHER_CONTROL", "USHER_TOKEN", "USHER_LOG"] {
        command.env_remove(variable);
    }
}

/// What `usher` with `arguments` says, once it has ended.
pub fn said(arguments: &[&str]) -> Output {
    usher(arguments).output().expect("the binary runs")
}

// === impl Binary ===

impl Binary {
    /// Starts usher with the configuration `text` below [`ports`], and waits until it serves.
    pub async fn start(text: &str) -> Self {
        Self::start_whole(&format!("{}{text}", ports())).await
    }

    /// Starts usher with the configuration `text`, whose ports come in the order of [`PORTS`], and
    /// waits until it serves.
    pub async fn start_whole(text: &str) -> Self {
        let binary = Self::start_by(text, |program| {
            let mut command = Command::new(program);
            command.stdin(Stdio::null());
            command
        });
        binary.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"))
    }

    /// Starts usher with the configuration `text` below [`ports`] in a process that may have so
    /// many descriptors, and waits until it serves.
    pub async fn start_with_descriptors(text: &str, soft: u64, hard: u64) -> Self {
        let text = format!("{}{text}", ports());
        let binary = Self::start_by(&text, |program| {
            let mut command = Command::new("sh");
            command.args(["-c", "ulimit -Sn $0 && ulimit -Hn $1 && shift && exec \"$@\""]);
            command.args([soft.to_string(), hard.to_string()]).arg(program).stdin(Stdio::null());
            command
        });
        binary.await.unwrap_or_else(|log| panic!("usher did not start:\n{log}"))
    }

    /// As [`Binary::start_whole`], by the command that `by` makes of the binary's path; the
    /// arguments are added to it. Where it does not start, what it said.
    pub async fn start_by(text: &str, by: impl FnOnce(&Path) -> Command) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let config = directory.path().join("usher.yaml");
        fs::write(&config, text).expect("the configuration can be written");
        let access_log = File::create(directory.path().join(ACCESS_LOG)).expect("a file");
        let program = directory.path().join("usher");
        symlink(env!("CARGO_BIN_EXE_usher"), &program).expect("a link");
        let mut command = by(&program);
        alone(&mut command);
        let mut child = command
            .args(["run", "--config"])
            .arg(&config)
            .stdout(access_log)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, ended) = listen(child.stderr.take().expect("a pipe"), log.clone());
        let addresses: Vec<SocketAddr> =
            lines.iter().filter_map(|line| address(&line)).take(3).collect();
        let [clients, control, metrics] = addresses[..] else {
            let status = child.wait().expect("the child is ours to wait for");
            return Err(format!("{status}\n{}", log.lock()));
        };
        let heirs = Mutex::default();
        let binary = Self { clients, control, metrics, child, log, ended, directory, heirs };
        while binary.readiness().await != 200 {
            tokio::task::yield_now().await;
        }
        Ok(binary)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the child is ours to signal");
    }

    /// Waits until it has ended, and returns how.
    pub fn ended(&mut self) -> ExitStatus {
        // Its standard error is closed by its end and by nothing else.
        if self.ended.recv_timeout(PATIENCE).is_err() {
            panic!("usher does not end:\n{}", self.log());
        }
        self.child.wait().expect("the child is ours to wait for")
    }

    /// Waits until the process that was started has ended, whoever has taken over, and returns how.
    pub async fn first_ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("the child is ours") {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends in time")
    }

    /// Has it hand over to the binary that lies in its place, and returns the new process.
    pub fn upgrade(&self) -> Result<Pid, String> {
        let control = self.control.to_string();
        let output = said(&["upgrade", "--format", "json", "--control", &control]);
        if output.status.code() != Some(0) {
            return Err(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let view: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(view["result"], "upgraded", "{view}");
        let pid = view["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a pid");
        self.will_end(pid);
        Ok(pid)
    }

    /// Has `heir`, which took over, end with this.
    pub fn will_end(&self, heir: Pid) {
        self.heirs.lock().push(heir);
    }

    /// Puts `program` in the place of the binary.
    pub fn replace(&self, program: &Path) {
        let (place, beside) = (self.directory().join("usher"), self.directory().join("beside"));
        symlink(program, &beside).expect("a link");
        fs::rename(beside, place).expect("it can be put there");
    }

    /// Waits until it has written `text` to standard error.
    pub async fn says(&self, text: &str) {
        let said = async {
            while !self.log().contains(text) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, said).await.is_err() {
            panic!("never: {text}\n{}", self.log());
        }
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// What it has written to standard output so far: the access log.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join(ACCESS_LOG)).expect("a log")
    }

    /// Where a test may put files of its own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("usher.yaml")
    }

    /// What `/ready` answers.
    pub async fn readiness(&self) -> u16 {
        Client::plain(self.metrics).await.get("/ready").await.status
    }

    /// The metrics now.
    pub async fn samples(&self) -> Samples {
        let answer = Client::plain(self.metrics).await.get("/metrics").await;
        assert!(answer.whole && answer.status == 200, "{answer:?}");
        Samples::parse(answer.text())
    }

    /// Waits until `fits` holds of the metrics, and returns them.
    pub async fn when(&self, what: &str, fits: impl Fn(&Samples) -> bool) -> Samples {
        let reached = async {
            loop {
                let samples = self.samples().await;
                if fits(&samples) {
                    return samples;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(samples) => samples,
            Err(_late) => panic!("never: {what}\n{:#?}", self.samples().await.0),
        }
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Once it has been waited for, its number may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for heir in self.heirs.lock().drain(..) {
            if lives(heir) {
                let _ = kill_process(heir, Signal::KILL);
            }
        }
    }
}

/// Whether `pid` is a process that has not ended.
pub fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // Behind the name, in brackets, stands the state; Z is what is left of one that has ended.
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

/// The file that standard output goes to.
const ACCESS_LOG: &str = "access.log";

/// How many lines may wait to be read before they are only kept.
const LINES_MAX: usize = 64;

/// Keeps what comes out of `pipe`, hands its lines on, and says when it has ended.
fn listen(pipe: ChildStderr, log: Arc<Mutex<String>>) -> (Receiver<String>, Receiver<()>) {
    let (line, lines) = sync_channel(LINES_MAX);
    let (end, ended): (SyncSender<()>, _) = sync_channel(1);
    thread::spawn(move || {
        for text in BufReader::new(pipe).lines().map_while(Result::ok) {
            log.lock().push_str(&format!("{text}\n"));
            // Nobody reads on once all addresses are known.
            let _ = line.try_send(text);
        }
        let _ = end.send(());
    });
    (lines, ended)
}

/// The address in `… http://127.0.0.1:40123/metrics`, or behind `https://`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, behind) = line.split_once("http://").or_else(|| line.split_once("https://"))?;
    let end = behind.find(['/', ' ']).unwrap_or(behind.len());
    behind[..end].parse().ok()
}
