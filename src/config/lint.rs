//! What is allowed and probably not meant.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    document::Reader,
    lower::{Lowered, LoweredAudience, LoweredPool, LoweredRule},
    source::Span,
};
use crate::{
    classify::{self, Matcher},
    name::Name,
    units::format_duration,
};

/// The most pairs of rules that are compared, so that checking 100,000 rules takes no hours.
const PAIRS_MAX: usize = 500_000;

/// A rule in the order in which rules are tried.
struct Ranked<'a> {
    audience: &'a LoweredAudience,
    rule: &'a LoweredRule,
}

/// Warns of everything.
pub(crate) fn lint(lowered: &Lowered, reader: &mut Reader) {
    rules_that_never_match(&lowered.audiences, reader);
    lowered.audiences.iter().for_each(|audience| unverified(audience, reader));
    pools_nobody_uses(lowered, reader);
    lowered.pools.iter().for_each(|pool| timeouts_agree(pool, reader));
    lowered.trusted_proxies.iter().for_each(|(network, span)| narrow(*network, *span, reader));
}

/// Compares pairs of rules while there are few enough of them, and labels alone after that.
fn rules_that_never_match(audiences: &[LoweredAudience], reader: &mut Reader) {
    let rules: Vec<Ranked<'_>> = audiences
        .iter()
        .flat_map(|audience| audience.rules.iter().map(move |rule| Ranked { audience, rule }))
        .collect();
    let mut alike: HashMap<&str, usize> = HashMap::new();
    let mut pairs = 0;
    for (index, later) in rules.iter().enumerate() {
        let alike = *alike.entry(&later.rule.spec.label).or_insert(index);
        pairs += index;
        let covers = |earlier: &&Ranked<'_>| classify::covers(&earlier.rule.spec, &later.rule.spec);
        let covering = match pairs <= PAIRS_MAX {
            true => rules[..index].iter().find(covers),
            false => (alike < index).then(|| &rules[alike]),
        };
        if let Some(earlier) = covering {
            never_matches(later, earlier, reader);
        }
    }
}

fn never_matches(later: &Ranked<'_>, earlier: &Ranked<'_>, reader: &mut Reader) {
    let place = reader.place(earlier.rule.span, later.rule.span);
    let message = format!("this rule can never match: `{}`", later.rule.spec.label);
    let hint = format!(
        "`{}` of audience `{}` {place} takes everything it could; move this one before it or \
         remove it",
        earlier.rule.spec.label, earlier.audience.audience.name
    );
    reader.warn(later.rule.span, message, hint);
}

/// A rule that rests on nothing but what any client may write into its request.
fn unverified(audience: &LoweredAudience, reader: &mut Reader) {
    if !audience.audience.only.is_empty() {
        return;
    }
    for rule in &audience.rules {
        let claim = rule.spec.all.iter().find_map(claim);
        if let Some(claim) = claim.filter(|_| classify::unverified(&rule.spec)) {
            let name = &audience.audience.name;
            let message =
                format!("any client can claim to be `{name}`: only a {claim} guards this");
            let hint = "add a `path` or `client` to this rule, or an `only:` to the audience, \
                        where that matters";
            reader.warn(rule.span, message, hint);
        }
    }
}

fn claim(matcher: &Matcher) -> Option<&'static str> {
    match matcher {
        Matcher::Header(..) => Some("header"),
        Matcher::Cookie(..) => Some("cookie"),
        Matcher::Query(..) => Some("query parameter"),
        Matcher::Path(_) | Matcher::Host(_) | Matcher::Method(_) | Matcher::Client(_) => None,
        Matcher::Subject(_) => None,
    }
}

/// Where an audience's pool is not known, it may be any of them.
fn pools_nobody_uses(lowered: &Lowered, reader: &mut Reader) {
    let Lowered { config, pools, .. } = lowered;
    let exists = |name: &Name| config.pools.iter().any(|pool| pool.name == *name);
    let all_known = lowered.audiences_written == config.audiences.len()
        && config.audiences.iter().all(|audience| exists(&audience.pool));
    if !all_known {
        return;
    }
    for LoweredPool { pool, name, .. } in pools {
        if !config.audiences.iter().any(|audience| audience.pool == pool.name) {
            let message = format!("no audience uses pool `{}`", pool.name);
            reader.warn(*name, message, "name it as the `pool` of an audience, or remove it");
        }
    }
}

fn timeouts_agree(lowered: &LoweredPool, reader: &mut Reader) {
    let timeouts = &lowered.pool.timeouts;
    for (name, duration) in [("connect", timeouts.connect), ("first_byte", timeouts.first_byte)] {
        if duration > timeouts.total {
            let message = format!(
                "`{name}` ({}) is longer than `total` ({}), which ends it before",
                format_duration(duration),
                format_duration(timeouts.total)
            );
            reader.warn(lowered.timeouts, message, format!("lower `{name}` or raise `total`"));
        }
    }
}

/// Who may say where a request comes from can be whoever they like.
fn narrow(network: IpNet, span: Span, reader: &mut Reader) {
    let private = is_private(network.addr());
    let wide = match network {
        IpNet::V4(network) => network.prefix_len() < if private { 8 } else { 16 },
        IpNet::V6(network) => network.prefix_len() < if private { 7 } else { 32 },
    };
    if wide {
        let message = format!("{network} is so wide that clients are in it");
        let hint = "whoever is trusted can forge client addresses: write the load balancers' \
                    networks only";
        reader.warn(span, message, hint);
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            address.is_private() || address.is_loopback() || address.is_link_local() || shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
