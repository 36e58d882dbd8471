//! The parts of usher that outlive its process, by the names of their sections.

mod endpoints;
mod issuers;
mod names;
mod promises;
mod tickets;
mod versions;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{orders::Orders, sight::HouseSight};
use crate::{control::Sight, handover::Estate, verbs};

use endpoints::Endpoints;
use issuers::Issuers;
use names::Names;
use promises::{Gate, Promises};
use tickets::Tickets;
use versions::Versions;

/// All of them.
pub(super) struct Estates<'a>(Vec<Box<dyn Estate + 'a>>);

/// What has been counted: the text that Prometheus reads, this process's own predecessors included.
struct Counters<'a>(&'a HouseSight);

/// What operators have ordered.
struct Verbs<'a>(&'a Orders);

// === impl Estates ===

impl<'a> Estates<'a> {
    /// Those of the house that `sight` sees.
    pub(super) fn of(sight: &'a HouseSight) -> Self {
        Self(vec![
            Box::new(Counters(sight)),
            Box::new(Verbs(sight.orders())),
            // Before what is known of endpoints: what is found by a name is one from then on.
            Box::new(Names(sight)),
            Box::new(Endpoints(sight)),
            Box::new(Issuers(sight)),
            Box::new(Promises(sight.books())),
            Box::new(Gate(sight)),
            Box::new(Versions::new(sight)),
            Box::new(Tickets(sight)),
        ])
    }

    /// Everything, for the successor.
    pub(super) fn pack(&self) -> BTreeMap<String, Value> {
        self.0.iter().map(|part| (part.name().to_owned(), part.pack())).collect()
    }

    /// What goes on changing while this process drains.
    pub(super) fn pack_again(&self) -> BTreeMap<String, Value> {
        let again = |part: &dyn Estate| Some((part.name().to_owned(), part.pack_again()?));
        self.0.iter().filter_map(|part| again(&**part)).collect()
    }

    /// What a predecessor that still drains is to know.
    pub(super) fn pack_back(&self) -> BTreeMap<String, Value> {
        let back = |part: &dyn Estate| Some((part.name().to_owned(), part.pack_back()?));
        self.0.iter().filter_map(|part| back(&**part)).collect()
    }

    /// Does as the successor tells.
    pub(super) fn unpack_back(&self, mut sections: BTreeMap<String, Value>) {
        for part in &self.0 {
            let name = part.name();
            let Some(section) = sections.remove(name) else { continue };
            if let Err(error) = part.unpack_back(section) {
                tracing::warn!(%error, section = name, "what the new usher says is not understood");
            }
        }
    }

    /// Takes over what the predecessor told.
    pub(super) fn unpack(&self, mut sections: BTreeMap<String, Value>) {
        for part in &self.0 {
            let name = part.name();
            let Some(section) = sections.remove(name) else { continue };
            if let Err(error) = part.unpack(section) {
                tracing::warn!(%error, section = name, "this part of the old usher begins anew");
            }
        }
        for name in sections.keys() {
            tracing::warn!(section = name, "the old usher knows something that this one does not");
        }
    }

    pub(super) fn predecessor_has_gone(&self) {
        self.0.iter().for_each(|part| part.predecessor_has_gone());
    }
}

// === impl Counters ===

impl Estate for Counters<'_> {
    fn name(&self) -> &'static str {
        "counters"
    }

    fn pack(&self) -> Value {
        Value::String(self.0.metrics())
    }

    fn pack_again(&self) -> Option<Value> {
        Some(self.pack())
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let text: String = serde_json::from_value(section)?;
        self.0.meters().carry(&text);
        Ok(())
    }

    fn predecessor_has_gone(&self) {
        self.0.meters().predecessor_has_gone();
    }
}

// === impl Verbs ===

impl Estate for Verbs<'_> {
    fn name(&self) -> &'static str {
        "verbs"
    }

    fn pack(&self) -> Value {
        // What was written a moment ago can be read.
        serde_json::from_str(&self.0.kept()).unwrap_or_default()
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let verbs::KeptError::Broken(error) = match verbs::read(&section.to_string()) {
            Ok((verbs, complaints)) => {
                self.0.take_over(verbs, complaints);
                return Ok(());
            }
            Err(error) => error,
        };
        Err(error)
    }

    /// Who waits in the old process goes on when the new one is told so.
    fn pack_back(&self) -> Option<Value> {
        Some(self.pack())
    }

    fn unpack_back(&self, section: Value) -> Result<(), serde_json::Error> {
        self.unpack(section)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Part(Arc<Mutex<Vec<Value>>>);

    impl Estate for Part {
        fn name(&self) -> &'static str {
            "part"
        }

        fn pack(&self) -> Value {
            Value::from(1)
        }

        fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
            let number: u32 = serde_json::from_value(section)?;
            self.0.lock().push(number.into());
            Ok(())
        }
    }

    #[test]
    fn sections_that_are_missing_wrong_or_unknown_harm_no_other() {
        let part = Part::default();
        let seen = part.0.clone();
        let estates = Estates(vec![Box::new(part)]);
        assert_eq!(estates.pack(), BTreeMap::from([("part".to_owned(), Value::from(1))]));
        assert!(estates.pack_again().is_empty(), "what does not change is said once");
        estates.unpack(BTreeMap::new());
        estates.unpack(BTreeMap::from([("part".to_owned(), Value::from("x"))]));
        estates.unpack(BTreeMap::from([
            ("part".to_owned(), Value::from(7)),
            ("other".to_owned(), Value::Null),
        ]));
        assert_eq!(*seen.lock(), [Value::from(7)]);
    }
}
