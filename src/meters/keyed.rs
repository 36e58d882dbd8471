//! Meters found again by what they measure, and forgotten once nobody holds them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

/// Meters by key. It keeps none of them alive.
pub(super) struct Keyed<K, M>(Mutex<BTreeMap<K, Weak<M>>>);

// === impl Keyed ===

impl<K: Ord + Clone, M> Keyed<K, M> {
    /// The meter of `key`, made with `make` when nobody holds it.
    pub(super) fn hold(&self, key: K, make: impl FnOnce() -> M) -> Arc<M> {
        let mut meters = self.0.lock();
        if let Some(meter) = meters.get(&key).and_then(Weak::upgrade) {
            return meter;
        }
        let meter = Arc::new(make());
        meters.insert(key, Arc::downgrade(&meter));
        meter
    }

    /// Every meter that somebody holds, in the order of the keys.
    pub(super) fn live(&self) -> Vec<(K, Arc<M>)> {
        let mut meters = self.0.lock();
        meters.retain(|_, meter| meter.strong_count() > 0);
        let held = meters.iter().filter_map(|(key, meter)| Some((key.clone(), meter.upgrade()?)));
        held.collect()
    }
}

impl<K, M> Default for Keyed<K, M> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_is_the_same_one_until_its_last_holder_has_gone() {
        let keyed: Keyed<&str, u8> = Keyed::default();
        let first = keyed.hold("b", || 1);
        let again = keyed.hold("b", || 2);
        assert!(Arc::ptr_eq(&first, &again));
        let other = keyed.hold("a", || 3);
        assert_eq!(keyed.live().iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["a", "b"]);
        drop((first, other));
        assert_eq!(keyed.live().len(), 1, "one holder is enough");
        drop(again);
        assert!(keyed.live().is_empty());
        assert_eq!(*keyed.hold("b", || 4), 4);
    }
}
