//! What an operator means by a word: an audience, a pool, or endpoints by their address.

use crate::{
    config::{AddressSpec, did_you_mean},
    control::{Asked, Order, Refused},
    name::Name,
    snapshot::Snapshot,
    upstream::{Address, Member},
    verbs::{Register, Target},
};

/// How a target begins that is to be taken for nothing else.
const AUDIENCE: &str = "audience:";
const POOL: &str = "pool:";

/// What `order` is for, and what its giver should know about it.
///
/// # Errors
///
/// There is no such target, or the order would leave a pool without an endpoint.
pub(super) fn find(
    order: &Order,
    snapshot: &Snapshot,
    register: &Register,
) -> Result<(Vec<Target>, Vec<String>), Refused> {
    match order.asked {
        Asked::Pause | Asked::Maintenance => {
            let target = named(&order.target, snapshot).ok_or_else(|| unknown(order, snapshot))?;
            let notes = shared(&order.target, &target, snapshot);
            Ok((vec![target], notes.into_iter().collect()))
        }
        Asked::Resume => {
            // What is in force can be ended even when the configuration knows it no longer.
            let mut targets: Vec<Target> = meant(&order.target)
                .into_iter()
                .filter(|target| !register.of(target).is_empty())
                .collect();
            if targets.is_empty() {
                targets.extend(named(&order.target, snapshot));
            }
            match targets.is_empty() {
                true => Err(unknown(order, snapshot)),
                false => Ok((targets, Vec::new())),
            }
        }
        Asked::Drain => drained(order, snapshot),
        Asked::Undrain => {
            let mut found = endpoints(&order.target, snapshot);
            if register.drains(&order.target) && !found.contains(&order.target) {
                found.push(order.target.clone());
            }
            match found.is_empty() {
                true => Err(unknown_endpoint(&order.target, snapshot)),
                false => Ok((targets(found), Vec::new())),
            }
        }
    }
}

/// Whether the configuration in use knows `target`.
pub(super) fn is_known(target: &Target, snapshot: &Snapshot) -> bool {
    match target {
        Target::Audience(name) => snapshot.audiences().iter().any(|it| it.name == *name),
        Target::Pool(name) => snapshot.pools().iter().any(|it| it.name == *name),
        Target::Endpoint(address) => addresses(snapshot).iter().any(|known| **known == **address),
    }
}

/// The address of an endpoint as the status shows it.
pub(super) fn address(text: &str) -> Option<Address> {
    match AddressSpec::parse(text).ok()? {
        AddressSpec::Socket(address) => Some(Address::Socket(address)),
        AddressSpec::Unix(path) => Some(Address::unix(&path)),
        AddressSpec::Named(..) | AddressSpec::Dns(_) => None,
    }
}

/// The targets that `text` can mean, an audience first.
fn meant(text: &str) -> Vec<Target> {
    let name = |text: &str| Name::parse(text).ok();
    let targets = if let Some(text) = text.strip_prefix(AUDIENCE) {
        [name(text).map(Target::Audience), None]
    } else if let Some(text) = text.strip_prefix(POOL) {
        [name(text).map(Target::Pool), None]
    } else {
        [name(text).map(Target::Audience), name(text).map(Target::Pool)]
    };
    targets.into_iter().flatten().collect()
}

/// The first of them that the configuration knows.
fn named(text: &str, snapshot: &Snapshot) -> Option<Target> {
    meant(text).into_iter().find(|target| is_known(target, snapshot))
}

/// Where a name is an audience's and a pool's, what was taken and how the other is written.
fn shared(text: &str, target: &Target, snapshot: &Snapshot) -> Option<String> {
    let Target::Audience(name) = target else { return None };
    let other = Target::Pool(name.clone());
    (text == name.as_str() && is_known(&other, snapshot)).then(|| {
        format!(
            "It holds for the audience alone: write {POOL}{name} for every audience of the pool."
        )
    })
}

fn unknown(order: &Order, snapshot: &Snapshot) -> Refused {
    let text = order.target.as_str();
    let bare = text.trim_start_matches(AUDIENCE).trim_start_matches(POOL);
    if AddressSpec::parse(text).is_ok() && !text.starts_with(AUDIENCE) && !text.starts_with(POOL) {
        let verb = order.asked.name();
        return Refused::Unknown(format!(
            "{verb} is for an audience or a pool; an endpoint can be drained."
        ));
    }
    let audiences = snapshot.audiences().iter().map(|it| it.name.as_str());
    let pools = snapshot.pools().iter().map(|it| it.name.as_str());
    let mut known: Vec<&str> = audiences.chain(pools).collect();
    known.sort_unstable();
    known.dedup();
    let meant = did_you_mean(bare, &known).map(|meant| format!(", did you mean `{meant}`"));
    Refused::Unknown(format!(
        "There is no audience or pool `{text}`{}? Known here: {}.",
        meant.unwrap_or_default(),
        known.join(", ")
    ))
}

/// Endpoints that get no new requests, unless a pool would be left without any.
fn drained(order: &Order, snapshot: &Snapshot) -> Result<(Vec<Target>, Vec<String>), Refused> {
    let found = endpoints(&order.target, snapshot);
    if found.is_empty() {
        return Err(unknown_endpoint(&order.target, snapshot));
    }
    let mut notes = Vec::new();
    for pool in snapshot.pools() {
        let members = pool.upstream.members();
        let goes = |member: &&Member| found.iter().any(|it| it == member.endpoint.as_str());
        let stays = |member: &&Member| !goes(member) && member.endpoint.is_usable();
        if members.iter().any(|member| goes(&member)) && !members.iter().any(|it| stays(&it)) {
            if !order.last {
                return Err(Refused::Unwise(format!(
                    "Without {} no endpoint of pool {} would take requests, and all of its \
                     requests would be answered 503 no_endpoint. `--last` drains it all the same.",
                    order.target, pool.name
                )));
            }
            notes.push(format!(
                "No endpoint of pool {} takes requests now: all are answered 503 no_endpoint.",
                pool.name
            ));
        }
    }
    if found.len() > 1 {
        notes.push(format!("{} stands for {}.", order.target, found.join(", ")));
    }
    Ok((targets(found), notes))
}

/// The addresses that `text` means: itself, or those of a name as it stands in the configuration.
fn endpoints(text: &str, snapshot: &Snapshot) -> Vec<String> {
    let known = addresses(snapshot);
    if known.iter().any(|known| known == text) {
        return vec![text.to_owned()];
    }
    let named = snapshot.pools().iter().flat_map(|pool| pool.upstream.addresses_of(text));
    let mut named: Vec<String> = named.map(|address| address.to_string()).collect();
    named.sort();
    named.dedup();
    named
}

fn unknown_endpoint(text: &str, snapshot: &Snapshot) -> Refused {
    let known = addresses(snapshot);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let meant = did_you_mean(text, &known).map(|meant| format!(", did you mean `{meant}`"));
    Refused::Unknown(format!(
        "There is no endpoint `{text}`{}? `usher status --format json` shows their addresses.",
        meant.unwrap_or_default()
    ))
}

/// The addresses of all endpoints there are.
fn addresses(snapshot: &Snapshot) -> Vec<String> {
    let mut addresses = Vec::new();
    for pool in snapshot.pools() {
        let members = pool.upstream.members();
        addresses.extend(members.iter().map(|it| it.endpoint.as_str().to_owned()));
    }
    addresses
}

fn targets(addresses: Vec<String>) -> Vec<Target> {
    addresses.into_iter().map(|address| Target::Endpoint(address.into())).collect()
}
