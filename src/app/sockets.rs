//! The listening sockets of an usher: opened here, handed in by systemd, or taken over from a
//! predecessor.

use std::{net::TcpListener, time::Duration};

use super::{House, predecessor::Predecessor};
use crate::{
    bind::Bind,
    config::Config,
    edge::{self, BindError},
    handover::{self, Channel, ChannelError, Kind, Label, Message},
    systemd::{self, HandedError},
};

/// How long a predecessor may take to say its first word, which it does before we have started.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// Listening sockets, not blocking.
pub(super) struct Sockets {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) control: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
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
    pub(super) predecessor: Option<Predecessor>,
}

/// A socket that was opened by another process.
#[derive(Debug)]
struct Given {
    /// What the predecessor used it for; systemd does not say.
    label: Option<Label>,
    name: Option<String>,
    address: Bind,
    socket: TcpListener,
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
        let mut take = |kind, bind: &Bind| match inherited.take(kind, bind) {
            Some(socket) => Ok(socket),
            None => edge::bind(bind),
        };
        let listeners = config.listeners.iter();
        Ok(Self {
            listeners: listeners
                .map(|listener| take(Kind::Listener, &listener.bind))
                .collect::<Result<_, _>>()?,
            control: config.control.as_ref().map(|bind| take(Kind::Control, bind)).transpose()?,
            metrics: config.metrics.as_ref().map(|bind| take(Kind::Metrics, bind)).transpose()?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let address = |socket: &TcpListener| socket.local_addr().ok().map(Bind::from);
        Addresses {
            listeners: self.listeners.iter().filter_map(address).collect(),
            control: self.control.as_ref().and_then(address),
            metrics: self.metrics.as_ref().and_then(address),
        }
    }

    /// The operators' and Prometheus' sockets once more, to be handed over later.
    pub(super) fn ports(&self, config: &Config) -> std::io::Result<Vec<(Label, TcpListener)>> {
        let control = (Kind::Control, &config.control, &self.control);
        let metrics = (Kind::Metrics, &config.metrics, &self.metrics);
        let mut ports = Vec::new();
        for (kind, bind, socket) in [control, metrics] {
            if let (Some(bind), Some(socket)) = (bind, socket) {
                ports.push((Label { kind, bind: bind.to_string() }, socket.try_clone()?));
            }
        }
        Ok(ports)
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
            let address = socket.local_addr().map_err(|source| HandedError { index, source })?;
            given.push(Given { label: None, name, address: address.into(), socket });
        }
        Ok(Self { given, predecessor: None })
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
            let socket = TcpListener::from(socket);
            let address = socket.local_addr().map_err(ChannelError::from)?;
            let (label, address) = (Some(label), address.into());
            given.push(Given { label, name: None, address, socket });
        }
        tracing::info!(pid, usher, sockets = given.len(), "taking over from the running usher");
        Ok(Self { given, predecessor: Some(Predecessor::new(channel)) })
    }

    /// The socket that whoever comes to `bind` is to find.
    fn take(&mut self, kind: Kind, bind: &Bind) -> Option<TcpListener> {
        let wanted = Label { kind, bind: bind.to_string() };
        let fits = |given: &Given| match &given.label {
            Some(label) => *label == wanted,
            None => given.address == *bind,
        };
        let at = self.given.iter().position(fits)?;
        Some(self.given.remove(at).socket)
    }

    /// Lets go of what the configuration does not name any more.
    ///
    /// # Errors
    /// There is a socket of systemd's among it.
    pub(super) fn check(&mut self) -> Result<(), InheritError> {
        for Given { label, name, address, .. } in self.given.drain(..) {
            if label.is_none() {
                return Err(InheritError::Stray { address, name });
            }
            tracing::info!(%address, "the configuration does not name this socket any more");
        }
        Ok(())
    }

    /// This process cannot start: a predecessor is told why, and goes on.
    pub fn refuse(self, house: &House, why: &str) {
        if let Some(predecessor) = self.predecessor {
            house.runtime.block_on(predecessor.refuse(why));
        }
    }
}
