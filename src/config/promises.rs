//! What objectives promise, one promise for each value of the label `slo`.

use super::{Audience, Config, Objective};
use crate::slo::{Aim, PATIENCE, Promise};

// === impl Audience ===

impl Audience {
    /// Its promises, in the order of its objectives.
    pub fn promises(&self) -> Vec<Promise> {
        let longest = self.objectives.iter().filter_map(|it| it.latency).map(|it| it.within).max();
        let availability = Aim::Availability { patience: longest.unwrap_or(PATIENCE) };
        let mut promises = Vec::new();
        for (index, objective) in self.objectives.iter().enumerate() {
            let promise = |aim: Aim, target, sla| Promise {
                audience: self.name.clone(),
                objective: index,
                label: aim.label(objective.name.as_ref()),
                aim,
                target,
                window: objective.window,
                sla,
                bad: objective.bad,
            };
            let Objective { availability: share, latency, sla, .. } = objective;
            promises.extend(share.map(|target| promise(availability, target, *sla)));
            promises.extend(latency.map(|latency| {
                let aim = Aim::Latency { within: latency.within, on: latency.on };
                promise(aim, latency.target, None)
            }));
        }
        promises
    }
}

// === impl Config ===

impl Config {
    /// The promises of all audiences, in file order.
    pub fn promises(&self) -> Vec<Promise> {
        self.audiences.iter().flat_map(Audience::promises).collect()
    }
}
