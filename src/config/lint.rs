//! What is allowed and probably not meant.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Config,
    document::Reader,
    lower::{Lowered, LoweredAudience, LoweredPool, LoweredRule},
    source::Span,
};
use crate::{
    classify::{Matcher, RuleSpec},
    units::format_duration,
};

/// The most pairs of rules that are compared, so that checking 100,000 rules takes no hours.
const PAIRS_MAX: usize = 4_000_000;

/// Warns of everything.
pub(crate) fn lint(lowered: &Lowered, reader: &mut Reader) {
    rules_that_never_match(&lowered.audiences, reader);
    lowered.audiences.iter().for_each(|audience| unverified(audience, reader));
    pools_nobody_uses(&lowered.config, &lowered.pools, reader);
    lowered.pools.iter().for_each(|pool| timeouts_agree(pool, reader));
    lowered.trusted_proxies.iter().for_each(|(network, span)| narrow(*network, *span, reader));
}

fn rules_that_never_match(audiences: &[LoweredAudience], reader: &mut Reader) {
    let rules: Vec<(&LoweredAudience, &LoweredRule)> = audiences
        .iter()
        .flat_map(|audience| audience.rules.iter().map(move |rule| (audience, rule)))
        .collect();
    let mut pairs = 0;
    for (index, (_, later)) in rules.iter().enumerate() {
        pairs += index;
        if pairs > PAIRS_MAX {
            let message = format!("there are too many rules to compare all: {}", rules.len());
            let hint = "the rules from here on are not held against the earlier ones";
            reader.warn(later.span, message, hint);
            return;
        }
        let covering = rules[..index].iter().find(|(_, rule)| covers(&rule.spec, &later.spec));
        if let Some((audience, earlier)) = covering {
            let place = reader.place(earlier.span, later.span);
            let message = format!("this rule can never match: `{}`", later.spec.label);
            let hint = format!(
                "`{}` of audience `{}` {place} takes everything it could; move this one before it \
                 or remove it",
                earlier.spec.label, audience.audience.name
            );
            reader.warn(later.span, message, hint);
        }
    }
}

fn covers(earlier: &RuleSpec, later: &RuleSpec) -> bool {
    earlier.label == later.label
}

/// A rule that rests on nothing but what any client may write into its request.
fn unverified(audience: &LoweredAudience, reader: &mut Reader) {
    if !audience.audience.only.is_empty() {
        return;
    }
    for rule in &audience.rules {
        let claimed = rule.spec.all.iter().filter_map(claim).next();
        let anchored = rule.spec.all.iter().any(|matcher| {
            matches!(matcher, Matcher::Path(_) | Matcher::Host(_) | Matcher::Client(_))
        });
        if let Some(claim) = claimed.filter(|_| !anchored) {
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
    }
}

fn pools_nobody_uses(config: &Config, pools: &[LoweredPool], reader: &mut Reader) {
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
