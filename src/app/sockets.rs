//! The listening sockets of an usher: opened here, handed in by systemd, or taken over from a
//! predecessor.

use std::{io, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use socket2::Socket;

use super::{House, predecessor::Predecessor};
use crate::{
    bind::{Access, Bind},
    config::Config,
    edge::{self, BindError, Listening, SocketFile},
    handover::{self, Channel, ChannelError, Kind, Label, Message},
    systemd::{self, HandedError},
};

/// How long a predecessor may take to say its first word, which it does before we have started.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// Listening sockets.
pub(super) struct Sockets {
    pub(super) listeners: Vec<Listening>,
    pub(super) control: Option<Listening>,
    pub(super) metrics: Option<Listening>,
}

/// Where a started usher can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where clients connect, in the order of the configuration.
    pub listeners: Vec<Bind>,
    /// The operators' port.
    pub control: Option<Bind>,
    /// The port that Prometheus scrapes.
    pub metrics: Option<Bind>,
}

/// What this process was given when it was started.
#[derive(Debug, Default)]
pub struct Inherited {
    given: Vec<Given>,
    /// What leads to sockets that nobody serves any more once a predecessor has gone.
    abandoned: Vec<Arc<SocketFile>>,
    pub(super) predecessor: Option<Predecessor>,
}

/// A socket that was opened by another process.
#[derive(Debug)]
struct Given {
    /// What the predecessor used it for; systemd does not say.
    label: Option<Label>,
    name: Option<String>,
    address: Bind,
    socket: Socket,
}

/// What was handed in cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// A descriptor is no listening socket.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// A socket of systemd's that is none of the configuration's would take connections that nobody
    /// serves.
    #[error(
        "the socket on {address}{} was handed in (LISTEN_FDS), and neither a listener nor \
         control nor metrics has that address", .name.as_ref().map(|name| format!(" ({name})"))
         .unwrap_or_default()
    )]
    Stray {
        /// Where it listens.
        address: Bind,
        /// Its name.
        name: Option<String>,
    },
    /// The process that started this one does not hand over as it should.
    #[error("cannot take over from the running usher: {0}")]
    Channel(#[from] ChannelError),
    /// It says something else first, or nothing in time.
    #[error("cannot take over from the running usher: it does not say what it has")]
    NoHello,
    /// It speaks another format.
    #[error("cannot take over from the running usher {usher}: its format is {theirs}, ours {ours}")]
    Version {
        /// Its version.
        usher: String,
        /// Its format.
        theirs: u32,
        /// What is understood here.
        ours: u32,
    },
}

// === impl Sockets ===

impl Sockets {
    /// Takes each socket that `config` names: an inherited one where there is one, else a new one.
    pub(super) fn take(config: &Config, inherited: &mut Inherited) -> Result<Self, BindError> {
        let mut take = |kind, bind: &Bind, access| match inherited.take(kind, bind) {
            Some(socket) => Ok(socket),
            None => edge::bind(bind, access),
        };
        let listeners: Result<_, _> = config
            .listeners
            .iter()
            .map(|listener| take(Kind::Listener, &listener.bind, listener.access))
            .collect();
        let listeners = listeners?;
        let control = config.control.as_ref();
        let control = control.map(|bind| take(Kind::Control, bind, config.control_access));
        let metrics = config.metrics.as_ref();
        let metrics = metrics.map(|bind| take(Kind::Metrics, bind, config.metrics_access));
        let (control, metrics) = (control.transpose()?, metrics.transpose()?);
        if let (Some(bind), Some(socket)) = (&config.control, &control)
            && config.operators.tokens.is_empty()
        {
            closed_to_others(bind, socket)?;
        }
        Ok(Self { listeners, control, metrics })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let address = |socket: &Listening| socket.bind().ok();
        Addresses {
            listeners: self.listeners.iter().filter_map(address).collect(),
            control: self.control.as_ref().and_then(address),
            metrics: self.metrics.as_ref().and_then(address),
        }
    }

    /// Every file that leads to one of them, and the rights that it is to have.
    pub(super) fn files(&self, config: &Config) -> Vec<(Arc<SocketFile>, Access)> {
        let listeners = self.listeners.iter().zip(config.listeners.iter().map(|it| it.access));
        let control = self.control.iter().map(|socket| (socket, config.control_access));
        let metrics = self.metrics.iter().map(|socket| (socket, config.metrics_access));
        let all = listeners.chain(control).chain(metrics);
        all.filter_map(|(socket, access)| Some((socket.file.clone()?, access))).collect()
    }

    /// The operators' and Prometheus' sockets once more, to be handed over later.
    pub(super) fn ports(&self, config: &Config) -> std::io::Result<Vec<(Label, Listening)>> {
        let control = (Kind::Control, &config.control, &self.control);
        let metrics = (Kind::Metrics, &config.metrics, &self.metrics);
        let mut ports = Vec::new();
        for (kind, bind, socket) in [control, metrics] {
            if let (Some(bind), Some(socket)) = (bind, socket) {
                ports.push((label(kind, bind, socket), socket.try_clone()?));
            }
        }
        Ok(ports)
    }
}

// === impl Given ===

impl Given {
    /// What leads to it, when whoever had it before took that away at its end.
    fn file(&self) -> Option<Arc<SocketFile>> {
        let path: Arc<Path> = self.address.path()?.into();
        let identity = self.label.as_ref()?.file?;
        Some(Arc::new(SocketFile::at(&path, identity)))
    }
}

// === impl Inherited ===

impl Inherited {
    /// What the environment says was handed in. To be called first of all, and once.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn receive(house: &House) -> Result<Self, InheritError> {
        if std::env::var_os(handover::VARIABLE).is_some_and(|it| it == "stdin") {
            return house.runtime.block_on(Self::from_predecessor());
        }
        let mut given = Vec::new();
        for (index, handed) in systemd::sockets()?.into_iter().enumerate() {
            let (name, socket) = (handed.name, handed.socket);
            let socket = Listening::from(socket);
            let address = socket.bind().map_err(|source| HandedError { index, source })?;
            given.push(Given { label: None, name, address, socket: socket.socket });
        }
        Ok(Self { given, abandoned: Vec::new(), predecessor: None })
    }

    #[expect(clippy::disallowed_methods, reason = "nothing runs yet, and there is no wheel")]
    async fn from_predecessor() -> Result<Self, InheritError> {
        let mut channel = Channel::from_stdin().map_err(ChannelError::from)?;
        let hello = tokio::time::timeout(HELLO_WAIT, channel.receive_with()).await;
        let Ok(Some((Message::Hello { handover, usher, pid, sockets: labels }, sockets))) =
            hello.map_err(|_late| InheritError::NoHello)?.map_err(InheritError::from)
        else {
            return Err(InheritError::NoHello);
        };
        if handover != handover::VERSION {
            let ours = handover::VERSION;
            let wrong = InheritError::Version { usher, theirs: handover, ours };
            // Whether or not it hears why, it goes on when we end.
            let _ = channel.send(&Message::Failed { why: wrong.to_string() }).await;
            return Err(wrong);
        }
        let mut given = Vec::new();
        for (label, socket) in labels.into_iter().zip(sockets) {
            let socket = Listening::from(Socket::from(socket));
            let address = socket.bind().map_err(ChannelError::from)?;
            given.push(Given { label: Some(label), name: None, address, socket: socket.socket });
        }
        tracing::info!(pid, usher, sockets = given.len(), "taking over from the running usher");
        let predecessor = Some(Predecessor::new(channel));
        Ok(Self { given, abandoned: Vec::new(), predecessor })
    }

    /// The socket that whoever comes to `bind` is to find.
    fn take(&mut self, kind: Kind, bind: &Bind) -> Option<Listening> {
        let known_as = bind.to_string();
        let fits = |given: &Given| match &given.label {
            Some(label) => label.kind == kind && label.bind == known_as,
            None => given.address == *bind,
        };
        let at = self.given.iter().position(fits)?;
        let given = self.given.remove(at);
        let file = given.file();
        Some(Listening { socket: given.socket, file })
    }

    /// Lets go of what the configuration does not name any more.
    ///
    /// # Errors
    /// There is a socket of systemd's among it.
    pub(super) fn check(&mut self) -> Result<(), InheritError> {
        for given in self.given.drain(..) {
            self.abandoned.extend(given.file());
            let Given { label, name, address, .. } = given;
            if label.is_none() {
                return Err(InheritError::Stray { address, name });
            }
            tracing::info!(%address, "the configuration does not name this socket any more");
        }
        Ok(())
    }

    /// What leads to sockets that the configuration does not name any more.
    pub(super) fn abandoned(&mut self) -> Vec<Arc<SocketFile>> {
        std::mem::take(&mut self.abandoned)
    }

    /// This process cannot start: a predecessor is told why, and goes on.
    pub fn refuse(self, house: &House, why: &str) {
        if let Some(predecessor) = self.predecessor {
            house.runtime.block_on(predecessor.refuse(why));
        }
    }
}

/// A port that asks for no token is no port for everybody: where systemd has made its file, the
/// configuration's `mode` did not.
fn closed_to_others(bind: &Bind, socket: &Listening) -> Result<(), BindError> {
    let path = bind.path().filter(|_| socket.file.is_none());
    let mode = path.and_then(|path| path.metadata().ok()).map(|known| known.mode());
    if !mode.is_some_and(|mode| Access { mode, group: None }.is_open_to_all()) {
        return Ok(());
    }
    let message = "it asks for no token, and everybody on this machine may connect: write \
                   `control.tokens`, or `SocketMode=0600` where systemd opens it";
    Err(BindError { bind: bind.clone(), source: io::Error::other(message) })
}

/// What a successor is told of `socket`, which is for whoever comes to `bind`.
pub(super) fn label(kind: Kind, bind: &Bind, socket: &Listening) -> Label {
    let file = socket.file.as_ref().map(|file| file.identity());
    Label { kind, bind: bind.to_string(), file }
}
