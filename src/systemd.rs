//! What systemd (or another manager of services) hands in and wants to be told: sockets that it
//! listens on for us (`sd_listen_fds(3)`), and how far we are (`sd_notify(3)`).
//!
//! Without such a manager nothing of this does anything.

use std::{io, os::fd::OwnedFd, time::Duration};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::Socket;

/// How long systemd waits for a sign of life, in microseconds.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";

/// Which process has to give it; any, where it is not said.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Variables that speak of this process, and would deceive one that it starts.
pub const OWN_VARIABLES: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", WATCHDOG_PID];

/// A socket that was handed in.
#[derive(Debug)]
pub struct Handed {
    /// Its name in `LISTEN_FDNAMES`, where it has one.
    pub name: Option<String>,
    /// The socket, not blocking.
    pub socket: Socket,
}

/// A descriptor that was handed in and is of no use.
#[derive(Debug, thiserror::Error)]
#[error("socket {index} of those handed in (LISTEN_FDS) cannot be used: {source}")]
pub struct HandedError {
    /// Which one, from 0.
    pub index: usize,
    /// What is wrong with it.
    #[source]
    pub source: io::Error,
}

/// Takes the sockets that were handed in. To be called once, before there is a second thread.
///
/// # Errors
/// One of them is no listening TCP or Unix socket.
pub fn sockets() -> Result<Vec<Handed>, HandedError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let error = |source| HandedError { index, source };
        let name = names.next().filter(|name| !name.is_empty());
        let Some(socket) = take(&mut handed, index).map_err(error)? else { continue };
        if !socket.is_listener().map_err(error)? {
            return Err(error(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen")));
        }
        socket.set_nonblocking(true).map_err(error)?;
        sockets.push(Handed { name, socket });
    }
    Ok(sockets)
}

fn take(handed: &mut ListenFd, index: usize) -> io::Result<Option<Socket>> {
    let Ok(tcp) = handed.take_tcp_listener(index) else {
        let unix = handed.take_unix_listener(index).map_err(|_neither| {
            let message = "it is neither a TCP socket nor a Unix socket of streams";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        });
        return Ok(unix?.map(|unix| OwnedFd::from(unix).into()));
    };
    Ok(tcp.map(Socket::from))
}

/// usher serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] says that this is over.
pub fn reloading() {
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, now]);
}

/// usher is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is usher from now on.
pub fn main_process(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// How often a sign of life is to be given: twice in the time that systemd waits.
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    let wait = number(WATCHDOG_USEC).filter(|wait| *wait > 0 && ours)?;
    Some(Duration::from_micros(wait) / 2)
}

/// A sign of life.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, ?states, "the manager of services (NOTIFY_SOCKET) cannot be told");
    }
}
