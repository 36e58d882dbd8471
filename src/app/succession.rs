//! The old process's side of an upgrade: starting the new binary, handing over, and going.
//!
//! ```text
//! running ─ upgrade ─▶ started ─ built ─▶ told ─ ready ─▶ handed over: accepts no more, drains
//!    ▲                    │                 │
//!    └── it ended, said why it cannot, was not ready in time, or usher was told to stop
//! ```
//!
//! Until `ready` both processes hold the same listening sockets, and the old one accepts. From then
//! on both do, until the old one has let go: no moment is without anybody who accepts.

use std::{
    ffi::OsString,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{
    estates::Estates,
    orders::{Orders, Still},
    parting::Parting,
    sockets,
};
use crate::{
    drain::{Drain, Drainer, Stage},
    edge::{Door, Listening, Order},
    handover::{self, Channel, ChannelError, Kind, Label, Message},
    reload::blocking,
    systemd,
};

/// How long the new process may take to be ready, where nobody says.
pub(super) const READY_WAIT: Duration = Duration::from_secs(30);

/// How long a new process that gives up may take to end, and how often it is looked at.
const END_WAIT: Duration = Duration::from_secs(2);
const END_LOOK: Duration = Duration::from_millis(20);

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Invocation {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// What a running usher needs to be followed by another.
pub(super) struct Succession {
    invocation: Option<Invocation>,
    ports: Mutex<Vec<(Label, Listening)>>,
    doors: mpsc::Sender<Order>,
    drainer: Arc<Drainer>,
    drain: Drain,
    turn: Semaphore,
    heir: Mutex<Option<Channel>>,
    /// Whether another process answers at the operators' ports.
    handed_over: watch::Sender<bool>,
}

/// The process that serves now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heir {
    /// Its version.
    pub usher: String,
    /// Its process.
    pub pid: u32,
}

/// Why usher goes on as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotUpgraded {
    /// One is being tried.
    #[error("another upgrade is under way")]
    UnderWay,
    /// It is too late.
    #[error("usher is stopping")]
    Stopping,
    /// It ends with its first process.
    #[error(
        "usher is process 1 here, and what runs here ends with it: start a container with the \
         new version instead"
    )]
    FirstProcess,
    /// It is part of another program.
    #[error("this usher was not started as `usher run`; there is nothing to start anew")]
    Embedded,
    /// The program cannot be started.
    #[error("cannot start {}: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The new process has ended.
    #[error("the new usher ended before it was ready ({0}); what it said is in the log")]
    Ended(ExitStatus),
    /// It said that it cannot start.
    #[error("the new usher cannot start: {why}")]
    Failed {
        /// What it said.
        why: String,
    },
    /// It was not ready in time.
    #[error("the new usher was not ready within {0:?}, and was ended")]
    Late(Duration),
    /// It does not speak as it should.
    #[error("the new usher was ended: {0}")]
    Channel(#[from] ChannelError),
}

/// How far the talk with the new process got when it was not ready.
enum Broken {
    Gone,
    Late,
    Stopping,
    Said(String),
    Channel(ChannelError),
}

// === impl Invocation ===

impl Invocation {
    /// How this process was started: by which path, so that a binary that has been replaced there
    /// is the one that is started next.
    pub fn of_this_process() -> Option<Self> {
        let mut arguments = std::env::args_os();
        let program = PathBuf::from(arguments.next()?);
        let program = if program.components().count() > 1 {
            std::env::current_dir().ok()?.join(program)
        } else {
            program
        };
        Some(Self { program, arguments: arguments.collect() })
    }

    fn start(&self, stdin: std::os::fd::OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(handover::VARIABLE, "stdin").stdin(stdin);
        for variable in systemd::OWN_VARIABLES {
            command.env_remove(variable);
        }
        command.spawn()
    }

    fn program(&self) -> &Path {
        &self.program
    }
}

// === impl Succession ===

impl Succession {
    pub(super) fn new(
        invocation: Option<Invocation>,
        ports: Vec<(Label, Listening)>,
        doors: mpsc::Sender<Order>,
        drainer: Arc<Drainer>,
        drain: Drain,
    ) -> Self {
        let handed_over = watch::channel(false).0;
        let (ports, turn, heir) = (Mutex::new(ports), Semaphore::new(1), Mutex::default());
        Self { invocation, ports, doors, drainer, drain, turn, heir, handed_over }
    }

    /// Tells when another process answers at the operators' ports.
    pub(super) fn handed_over(&self) -> watch::Receiver<bool> {
        self.handed_over.subscribe()
    }

    /// The talk with the process that serves now, once there is one; for whoever asks first.
    pub(super) fn parting(&self) -> Option<Parting> {
        self.heir.lock().take().map(Parting::by)
    }

    /// Whether another process answers at the operators' ports.
    pub(super) fn has_handed_over(&self) -> bool {
        *self.handed_over.borrow()
    }

    /// Starts the binary that lies where this one came from, and hands over to it.
    ///
    /// # Errors
    /// The new process is not ready within `wait`; it is gone then, and nothing has changed.
    pub(super) async fn succeed(
        &self,
        estates: &Estates<'_>,
        orders: &Orders,
        wait: Duration,
    ) -> Result<Heir, NotUpgraded> {
        let Ok(_turn) = self.turn.try_acquire() else { return Err(NotUpgraded::UnderWay) };
        if self.drain.stage() > Stage::Running {
            return Err(NotUpgraded::Stopping);
        }
        if std::process::id() == 1 {
            return Err(NotUpgraded::FirstProcess);
        }
        let invocation = self.invocation.clone().ok_or(NotUpgraded::Embedded)?;
        let program = invocation.program().to_owned();
        tracing::info!(program = %program.display(), "upgrading: starting the new usher");
        let (mut channel, theirs) = Channel::pair().map_err(ChannelError::from)?;
        let started = blocking(move || invocation.start(theirs)).await;
        let started = started.unwrap_or_else(|| Err(io::ErrorKind::Other.into()));
        let child = started.map_err(|source| NotUpgraded::Start { program, source })?;
        match self.talk(&mut channel, estates, orders, wait).await {
            Ok((heir, still)) => {
                self.let_go(channel, &heir);
                still.for_good();
                Ok(heir)
            }
            Err(broken) => Err(self.end(child, broken, wait).await),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
    async fn talk<'a>(
        &self,
        channel: &mut Channel,
        estates: &Estates<'_>,
        orders: &'a Orders,
        wait: Duration,
    ) -> Result<(Heir, Still<'a>), Broken> {
        // Dropping the talk leaves a process that the caller ends, and orders go on.
        tokio::select! {
            heir = self.hand_over(channel, estates, orders) => heir,
            () = tokio::time::sleep(wait) => Err(Broken::Late),
            () = self.drain.reached(Stage::Grace) => Err(Broken::Stopping),
        }
    }

    async fn hand_over<'a>(
        &self,
        channel: &mut Channel,
        estates: &Estates<'_>,
        orders: &'a Orders,
    ) -> Result<(Heir, Still<'a>), Broken> {
        let doors = self.borrow_doors().await;
        let hello = {
            let ports = self.ports.lock();
            let doors = doors.iter().map(|Door { bind, socket }| {
                (sockets::label(Kind::Listener, bind, socket), socket.try_clone())
            });
            let ports = ports.iter().map(|(label, socket)| (label.clone(), socket.try_clone()));
            doors.chain(ports).collect::<Vec<_>>()
        };
        let (mut labels, mut sockets) = (Vec::new(), Vec::new());
        for (label, socket) in hello {
            labels.push(label);
            sockets.push(socket.map_err(|error| Broken::Channel(error.into()))?);
        }
        let message = Message::Hello {
            handover: handover::VERSION,
            usher: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            sockets: labels,
        };
        let sockets: Vec<_> = sockets.iter().map(|it| it.socket.as_fd()).collect();
        channel.send_with(&message, &sockets).await?;
        let mut heir = None;
        loop {
            match channel.receive().await? {
                Some(Message::Built { usher, pid }) => {
                    let still = match heir.take() {
                        Some((_, still)) => still,
                        None => orders.stand_still().await,
                    };
                    heir = Some((Heir { usher, pid }, still));
                    let sections = estates.pack();
                    channel.send(&Message::State { sections }).await?;
                }
                Some(Message::Ready) => return heir.ok_or(Broken::Gone),
                Some(Message::Failed { why }) => return Err(Broken::Said(why)),
                Some(Message::Hello { .. } | Message::State { .. }) => {}
                None => return Err(Broken::Gone),
            }
        }
    }

    /// The listeners' sockets as they are now: reloads open and close some.
    async fn borrow_doors(&self) -> Vec<Door> {
        let (lend, lent) = oneshot::channel();
        // The acceptor has gone only when usher stops, and then nothing is handed over.
        let _ = self.doors.send(Order { lend: Some(lend), ..Order::default() }).await;
        lent.await.unwrap_or_default()
    }

    /// The new process serves: this one accepts no more, anywhere, and drains without a grace.
    fn let_go(&self, channel: Channel, heir: &Heir) {
        tracing::info!(pid = heir.pid, usher = heir.usher, "upgraded: another usher serves now");
        systemd::main_process(heir.pid);
        *self.heir.lock() = Some(channel);
        for (_, port) in self.ports.lock().drain(..) {
            port.file.iter().for_each(|file| file.leave());
        }
        self.handed_over.send_replace(true);
        self.drainer.advance(Stage::Finishing);
    }

    /// The new process is not wanted any more.
    #[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
    async fn end(&self, mut child: Child, broken: Broken, wait: Duration) -> NotUpgraded {
        // What has closed its end is about to end by itself, and its exit status says more. All
        // others end now: what waits for its predecessor would serve when that is gone.
        if matches!(broken, Broken::Gone | Broken::Said(_)) {
            let until = tokio::time::Instant::now() + END_WAIT;
            while matches!(child.try_wait(), Ok(None)) && tokio::time::Instant::now() < until {
                tokio::time::sleep(END_LOOK).await;
            }
        }
        let _ = child.kill();
        let ended = blocking(move || child.wait()).await;
        let status = ended.and_then(Result::ok).unwrap_or_default();
        match broken {
            Broken::Gone => NotUpgraded::Ended(status),
            Broken::Late => NotUpgraded::Late(wait),
            Broken::Stopping => NotUpgraded::Stopping,
            Broken::Said(why) => NotUpgraded::Failed { why },
            Broken::Channel(error) => NotUpgraded::Channel(error),
        }
    }
}

impl From<ChannelError> for Broken {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Self::Gone
            }
            other => Self::Channel(other),
        }
    }
}
