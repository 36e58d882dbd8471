//! What the meters say about an audience at one moment, for those who look from inside.

use std::collections::BTreeMap;

use crate::{
    fault::{Fault, Outcome},
    name::Name,
};

use super::{Meters, TunnelEnd, histogram::Distribution};

/// What has been counted for an audience since its meter was made, over its pools and arms.
#[derive(Clone, Debug)]
pub struct AudienceReading {
    /// Its name.
    pub name: Name,
    /// Requests that have ended, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Requests that failed or were answered with a known status of 500 or above.
    pub bad: u64,
    /// Faults that occurred or can, and how often they did.
    pub faults: BTreeMap<Fault, u64>,
    /// Requests that have begun and not ended.
    pub in_flight: u64,
    /// Upgraded connections that are open.
    pub tunnels: u64,
    /// Request read whole to the head of the monolith's answer.
    pub first_byte: Distribution,
}

/// What was cut because its time was over when usher stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Requests.
    pub requests: u64,
    /// Upgraded connections.
    pub tunnels: u64,
}

// === impl Meters ===

impl Meters {
    /// What has been cut so far.
    pub fn cut_off(&self) -> CutOff {
        let draining = |places: &super::PlaceMeter| {
            let faults = places.faults().filter(|(fault, _)| *fault == Fault::Draining);
            faults.map(|(_, count)| count).sum::<u64>()
        };
        let cut = |audience: &super::AudienceMeter| {
            let ends = audience.tunnels_closed().filter(|(end, _, _)| *end == TunnelEnd::Cut);
            ends.map(|(_, _, count)| count).sum::<u64>()
        };
        CutOff {
            requests: self.places.live().iter().map(|(_, places)| draining(places)).sum(),
            tunnels: self.audiences.live().iter().map(|(_, audience)| cut(audience)).sum(),
        }
    }

    /// What has been counted so far for each audience, in the order of their names.
    pub fn audiences(&self) -> Vec<AudienceReading> {
        let mut readings: Vec<AudienceReading> = Vec::new();
        for ((name, _), answers) in self.answers.live() {
            let first_byte = answers.first_byte.read();
            match readings.last_mut().filter(|last| last.name == name) {
                Some(last) => last.first_byte.absorb(&first_byte),
                None => readings.push(AudienceReading::new(name, first_byte)),
            }
        }
        let by_name = |readings: &[AudienceReading], name: &Name| {
            readings.binary_search_by(|reading| reading.name.cmp(name)).ok()
        };
        for (name, audience) in self.audiences.live() {
            let Some(index) = by_name(&readings, &name) else { continue };
            readings[index].in_flight = audience.in_flight();
            readings[index].tunnels = audience.tunnels();
        }
        for ((name, _, _), exchange) in self.exchanges.live() {
            let Some(index) = by_name(&readings, &name) else { continue };
            let outcomes = readings[index].outcomes.iter_mut().zip(exchange.outcomes());
            outcomes.for_each(|(sum, more)| *sum += more);
            readings[index].bad += exchange.bad();
        }
        for ((name, _), place) in self.places.live() {
            let Some(index) = by_name(&readings, &name) else { continue };
            for (fault, count) in place.faults() {
                *readings[index].faults.entry(fault).or_default() += count;
            }
        }
        readings
    }
}

// === impl AudienceReading ===

impl AudienceReading {
    fn new(name: Name, first_byte: Distribution) -> Self {
        Self {
            name,
            outcomes: [0; Outcome::ALL.len()],
            bad: 0,
            faults: BTreeMap::new(),
            in_flight: 0,
            tunnels: 0,
            first_byte,
        }
    }

    /// How many requests ended as `outcome`.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests have ended.
    pub fn requests(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}
