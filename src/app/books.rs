//! The books of what was promised: read from the meters once a second, kept every few.

mod handed;

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::Uri;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{
    fleet::Fleet,
    gate::Gate,
    shelf::{self, Shelf},
};
use crate::{
    config::Config,
    control::{Audit, By, GateOrder, GateView, SloView, StandingView},
    meters::{Meters, PromiseGauges},
    slo::{Class, Ledger, Promise, Standing, WINDOWS},
    units::format_duration,
};

use handed::Handed;

/// What has been counted, and where it is kept.
pub(super) struct Books {
    meters: Arc<Meters>,
    ledger: Mutex<Ledger>,
    /// None without `state_dir`. Locked for longer than the ledger, and never by who shows it.
    shelf: Option<Mutex<Shelf>>,
    trouble: Mutex<Option<String>>,
    gate: Gate,
    /// What the processes before and after this one are told.
    handed: Mutex<Handed>,
    /// Who knows what all replicas have counted.
    fleet: Option<Fleet>,
}

/// What operators are told when there are more promises than are remembered.
const NO_ROOM: &str = "there were more promises within 30 days than windows are kept for: budgets \
                       of some are not known here (usher_slo_events_unkept_total)";

// === impl Books ===

impl Books {
    /// Opens them, kept in `state_dir` where there is one.
    ///
    /// # Errors
    ///
    /// Files cannot be made there.
    pub(super) fn open(
        meters: Arc<Meters>,
        state_dir: Option<&Path>,
        source: Option<Uri>,
    ) -> std::io::Result<Self> {
        let shelf = state_dir.map(Shelf::open).transpose()?;
        let handed = Mutex::new(Handed::new(shelf.as_ref()));
        let books = Self {
            meters,
            ledger: Mutex::default(),
            shelf: shelf.map(Mutex::new),
            trouble: Mutex::default(),
            gate: Gate::open(state_dir),
            handed,
            fleet: source.map(Fleet::new),
        };
        books.keep();
        Ok(books)
    }

    /// Counts what the meters have counted since the last time.
    pub(super) fn read(&self) {
        // One at a time: what was read later must not be taken for earlier.
        let mut ledger = self.ledger.lock();
        let before = ledger.unkept();
        ledger.take(now(), self.meters.promises());
        if before == 0 && ledger.unkept() > 0 {
            tracing::error!("{NO_ROOM}");
        }
    }

    /// Writes down what has been counted, and takes in what others have. Waits for the disk.
    pub(super) fn keep(&self) {
        let Some(shelf) = &self.shelf else { return };
        let mut shelf = shelf.lock();
        let mut found = shelf.look(now());
        let bytes = {
            let (heard, mut ledger) = (self.heard(), self.ledger.lock());
            shelf.take_in(&mut found, &heard, &mut ledger);
            shelf.bytes(&ledger, now())
        };
        let written = shelf.put(&bytes, found).err();
        let trouble = written.map(|error| {
            format!("what is counted for promises cannot be written to `state_dir`: {error}")
        });
        let mut known = self.trouble.lock();
        if trouble != *known
            && let Some(trouble) = &trouble
        {
            tracing::error!("{trouble}");
        }
        *known = trouble;
    }

    /// Events that were counted and had no room in the windows.
    pub(super) fn unkept(&self) -> u64 {
        self.ledger.lock().unkept()
    }

    /// Moves the gate on, by what `config` promises.
    pub(super) fn move_gate(&self, config: &Config) {
        let promises = config.promises();
        if self.gate.move_on(&promises, &self.decisive(&promises), &config.gate) {
            // A few lines, a few times a day; they make the gate sluggish over a restart.
            self.gate.keep();
        }
    }

    /// Whether to ship something of `class`.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the question.
    pub(super) fn ask_gate(
        &self,
        config: &Config,
        audiences: &[&str],
        class: &str,
    ) -> Result<GateView, String> {
        let class = match class {
            "normal" => Class::Normal,
            "hotfix" => Class::Hotfix,
            _ => return Err("`class` is `normal` or `hotfix`.".to_owned()),
        };
        known(config, audiences)?;
        let promises = config.promises();
        let standings = self.decisive(&promises);
        Ok(self.gate.ask(audiences, class, &promises, &standings, Timestamp::now()))
    }

    /// Does what `by` tells the gate, and writes it down.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the order.
    pub(super) fn tell_gate(
        &self,
        config: &Config,
        order: &GateOrder,
        by: &By,
        audit: &Audit,
    ) -> Result<GateView, String> {
        known(config, order.audience().as_slice())?;
        let deed = self.gate.tell(order, by, Timestamp::now())?;
        self.gate.keep();
        audit.note(&deed);
        self.ask_gate(config, &[], "normal")
    }

    /// The gate.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Who knows what all replicas have counted.
    pub(super) fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// What is wrong with it.
    pub(super) fn troubles(&self) -> Vec<String> {
        let fleet = self.fleet.as_ref().and_then(Fleet::trouble);
        let no_room = (self.unkept() > 0).then(|| NO_ROOM.to_owned());
        self.trouble.lock().clone().into_iter().chain(fleet).chain(no_room).collect()
    }

    /// How `promises` stand as far as anybody knows: all replicas together where Prometheus is
    /// asked, and else this one alone.
    pub(super) fn decisive(&self, promises: &[Promise]) -> Vec<Standing> {
        let own = self.standings(promises);
        let Some(fleet) = &self.fleet else { return own };
        promises.iter().zip(&own).map(|(promise, own)| fleet.standing(promise, own)).collect()
    }

    /// How `promises` stand, in their order.
    pub(super) fn standings(&self, promises: &[Promise]) -> Vec<Standing> {
        let (ledger, now) = (self.ledger.lock(), now());
        promises.iter().map(|promise| ledger.standing(promise, now)).collect()
    }

    /// What the control port shows of `promises`.
    pub(super) fn view(&self, promises: &[Promise]) -> SloView {
        let views = |standings: &[Standing]| -> Vec<StandingView> {
            let pairs = promises.iter().zip(standings);
            pairs.map(|(promise, it)| StandingView::new(promise, it)).collect()
        };
        let (own, kept) = (views(&self.standings(promises)), self.shelf.is_some());
        let Some(fleet) = &self.fleet else {
            let note = "Counted by this replica alone.".to_owned();
            let scope = "replica".to_owned();
            return SloView { scope, note, kept, promises: own, replica: Vec::new() };
        };
        let note = fleet.trouble().unwrap_or_else(|| {
            format!("All replicas together, from {}; causes are this replica's.", fleet.url())
        });
        let promises = views(&self.decisive(promises));
        SloView { scope: "fleet".to_owned(), note, kept, promises, replica: own }
    }

    /// What Prometheus is shown of `promises`.
    pub(super) fn gauges(&self, promises: &[Promise]) -> Vec<PromiseGauges> {
        let standings = self.standings(promises);
        let gauges = promises.iter().zip(standings).map(|(promise, standing)| {
            let windows = standing.burn.iter().zip(WINDOWS);
            let mut burn: Vec<(String, f64)> =
                windows.filter_map(|(burn, (_, name))| Some((name.to_owned(), (*burn)?))).collect();
            burn.extend(standing.left.map(|left| (format_duration(promise.window), 1.0 - left)));
            PromiseGauges {
                audience: promise.audience.clone(),
                slo: promise.label.to_string(),
                target: promise.target.ratio(),
                burn,
                left: standing.left,
                exhausted_in: standing.exhausted_in.map(|time| time.as_secs_f64()),
            }
        });
        gauges.collect()
    }
}

fn known(config: &Config, audiences: &[&str]) -> Result<(), String> {
    let known = |name: &str| config.audiences.iter().any(|it| it.name.as_str() == name);
    match audiences.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("There is no audience `{name}`.")),
        None => Ok(()),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
