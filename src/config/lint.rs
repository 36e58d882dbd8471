//! What is allowed and probably not meant.

use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::{
    AddressSpec, Audience, Need, Overrides, Sticky, Timeouts, WhenEmpty,
    document::Reader,
    lower::{Lowered, LoweredAudience, LoweredPool, LoweredRule, lint_graphql},
    source::Span,
};
use crate::{
    classify::{self, Matcher, Reach},
    name::Name,
    peer::Network,
    stride::pause,
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
    known_again(lowered, reader);
    lint_graphql(&lowered.config, &lowered.audiences, lowered.graphql, reader);
    lowered.pools.iter().for_each(|pool| {
        timeouts_agree(&pool.pool.timeouts, pool.timeouts, reader);
    });
    lowered.audiences.iter().for_each(|audience| rules_timeouts_agree(lowered, audience, reader));
    database_suffices(lowered, reader);
    lowered.trusted_proxies.iter().for_each(|(network, span)| narrow(*network, *span, reader));
    let unix = lowered.trusted_proxies.iter().find(|(network, _)| *network == Network::Unix);
    let listens = lowered.config.listeners.iter().any(|listener| listener.bind.path().is_some());
    if let Some((_, span)) = unix.filter(|_| !listens) {
        let hint = "write `- bind: unix:/run/usher/usher.sock` under `listeners`, or remove it";
        reader.warn(*span, "no listener is at a Unix socket", hint);
    }
}

/// Compares pairs of rules while there are few enough of them, and labels alone after that.
fn rules_that_never_match(audiences: &[LoweredAudience], reader: &mut Reader) {
    let rules: Vec<Ranked<'_>> = audiences
        .iter()
        .flat_map(|audience| audience.rules.iter().map(move |rule| Ranked { audience, rule }))
        .collect();
    let mut alike: FxHashMap<&str, usize> = FxHashMap::default();
    let mut pairs = 0;
    let mut reaches: Vec<Reach> = Vec::new();
    for (index, later) in rules.iter().enumerate() {
        pause();
        let alike = *alike.entry(&later.rule.spec.label).or_insert(index);
        pairs += index;
        let covering = if pairs <= PAIRS_MAX {
            let reach = Reach::of(&later.rule.spec);
            let covers = |(earlier, wide): &(&Ranked<'_>, &Reach)| {
                wide.may_cover(reach) && classify::covers(&earlier.rule.spec, &later.rule.spec)
            };
            let covering = rules.iter().zip(&reaches).find(covers).map(|(earlier, _)| earlier);
            reaches.push(reach);
            covering
        } else {
            (alike < index).then(|| &rules[alike])
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
        Matcher::Version(..) => Some("version"),
        Matcher::Operation(_) | Matcher::Document(_) => Some("GraphQL operation"),
        Matcher::Path(_) | Matcher::Host(_) | Matcher::Method(_) | Matcher::Client(_) => None,
        Matcher::Subject(_) | Matcher::User(_) | Matcher::Role(_) | Matcher::Claim(..) => None,
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
        let falls_back =
            |it: &Audience| it.fallback.as_ref().is_some_and(|it| it.pool == pool.name);
        let mut own = config.audiences.iter().filter(|audience| audience.pool == pool.name);
        let guests = config.audiences.iter().any(falls_back);
        let is_left = pool.when_empty == WhenEmpty::Fallback;
        if is_left && !own.clone().any(|audience| audience.fallback.is_some()) {
            let message = format!("no audience of pool `{}` has a `fallback`", pool.name);
            let hint =
                "write `fallback:` in the audience, or `when_empty: refuse`, which means the same";
            reader.warn(*name, message, hint);
        }
        if own.next().is_none() && !guests {
            let message = format!("no audience uses pool `{}`", pool.name);
            reader.warn(*name, message, "name it as the `pool` of an audience, or remove it");
        }
    }
}

/// Whether anything says by what clients are known again, where that matters, and whether it does
/// anywhere.
fn known_again(lowered: &Lowered, reader: &mut Reader) {
    let Lowered { config, pools, .. } = lowered;
    let asks = |audience: &Audience| config.is_sticky(audience) || audience.versions.is_some();
    let asked = config.audiences.iter().any(asks);
    if let Some(span) = lowered.sticky.filter(|_| !asked) {
        let message = "`sticky` has no effect: nothing asks by what clients are known again";
        reader.warn(span, message, "write `balance: hash sticky` in a pool, or remove it");
    }
    let silent = config.sticky == Sticky::default() && config.identity.is_none();
    for LoweredPool { pool, name, .. } in pools {
        if pool.balance.is_sticky() && silent {
            let message =
                format!("pool `{}` knows no client again: nothing says by what", pool.name);
            reader.warn(*name, message, "write `sticky:`, `identity:`, or `balance: hash client`");
        }
    }
}

/// What rules say otherwise has to fit what they do not.
fn rules_timeouts_agree(lowered: &Lowered, audience: &LoweredAudience, reader: &mut Reader) {
    let pool = lowered.pools.iter().find(|it| it.pool.name == audience.audience.pool);
    let Some(LoweredPool { pool, .. }) = pool else { return };
    let own = audience.audience.timeouts;
    if own != Overrides::default() {
        timeouts_agree(&own.over(pool.timeouts), audience.name, reader);
    }
    for (rule, span) in audience.rules.iter().filter_map(|rule| rule.timeouts) {
        timeouts_agree(&rule.or(own).over(pool.timeouts), span, reader);
    }
}

/// Whether the database has enough connections for all pools.
fn database_suffices(lowered: &Lowered, reader: &mut Reader) {
    // A name or a look-up may be many endpoints; how many is known to `endpoints_max` alone.
    let need = Need::of(&lowered.config, |pool| pool.endpoints.len() as u64);
    let (Some((need, max)), Some(span)) = (need, lowered.database) else { return };
    let moments = [
        (need.now, "the endpoints that are written"),
        (need.scaled_out, "all pools scaled out to `endpoints_max`"),
        (need.deploying, "a deploy of all pools at once, with `surge`,"),
    ];
    let exceeded = moments.into_iter().find(|(needed, _)| *needed > max);
    if let Some((needed, what)) = exceeded {
        let message =
            format!("{what} may need {needed} database connections, and {max} are the most");
        let hint = "lower `database_connections`, `endpoints_max` or `surge`, deploy pools one \
                    after the other, or put a pooler before the database";
        reader.warn(span, message, hint);
    }
    for LoweredPool { pool, name, .. } in &lowered.pools {
        let many = pool.endpoints.iter().any(|endpoint| endpoint.is_looked_up());
        if many && pool.database.endpoints_max.is_none() {
            let message = format!("pool `{}` may be any number of endpoints", pool.name);
            let hint = "write `endpoints_max:`, so that its database connections can be counted";
            reader.warn(*name, message, hint);
        }
    }
}

/// What is odd about what names stand for.
pub(super) fn names(
    lowered: &Lowered,
    odd: &[(AddressSpec, String, &'static str)],
    reader: &mut Reader,
) {
    for LoweredPool { pool, endpoints, .. } in &lowered.pools {
        for (endpoint, span) in pool.endpoints.iter().zip(endpoints) {
            for (_, message, hint) in odd.iter().filter(|(of, ..)| *of == endpoint.address) {
                reader.warn(*span, message, *hint);
            }
        }
    }
}

fn timeouts_agree(timeouts: &Timeouts, span: Span, reader: &mut Reader) {
    for (name, duration) in [("connect", timeouts.connect), ("first_byte", timeouts.first_byte)] {
        if duration > timeouts.total {
            let message = format!(
                "`{name}` ({}) is longer than `total` ({}), which ends it before",
                format_duration(duration),
                format_duration(timeouts.total)
            );
            reader.warn(span, message, format!("lower `{name}` or raise `total`"));
        }
    }
}

/// Who may say where a request comes from can be whoever they like.
fn narrow(network: Network, span: Span, reader: &mut Reader) {
    let Network::Ip(network) = network else { return };
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
