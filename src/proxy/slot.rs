//! A slot for one attempt: at once where one is free, else from the pool's queue.

use std::time::{Duration, Instant as Clock};

use http::request::Parts;
use tokio::time::Instant;

use super::{contact::Contact, exchange::Exchange};
use crate::{
    classify::cookie_value,
    config::{Balance, HashBy, QueueLength, WhenEmpty, WhenUnhealthy},
    fault::Fault,
    policy::sticky::Place,
    snapshot::Pool,
    upstream::{Asking, Grant, Lacking, Patience, Refused, Waiting, clock_ms},
};

/// What a request brings to the search for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    /// Its head.
    pub head: &'a Parts,
    /// Its client.
    pub contact: &'a Contact,
    /// Endpoints that it has tried.
    pub tried: &'a [u32],
    /// Whether it wants to become a tunnel.
    pub tunnel: bool,
    /// Now.
    pub now: Clock,
    /// When it has to have its answer.
    pub total_at: Instant,
    /// Why it is lost in its audience's own pool, where it is.
    pub lost: Option<Fault>,
}

/// How waiting ended.
enum Ended {
    Told(Result<Grant, Refused>),
    Late,
    Gone,
}

/// A slot for a request that takes it where nearly all do, and at once: of its audience's pool,
/// which has one free. Where there is `None`, [`slot`] finds out what there is instead.
pub fn slot_at_once(exchange: &mut Exchange, errand: Errand<'_>) -> Option<(Grant, Clock)> {
    if exchange.is_away() || errand.lost.is_some() || exchange.may_go_away() {
        return None;
    }
    let pool = exchange.pool()?;
    let asking = asking(exchange, &errand, pool, pool.config.when_unhealthy);
    let lease = exchange.worker().lease(pool, &asking).ok()?;
    exchange.waited(Duration::ZERO);
    Some((Grant { lease, spare: None }, errand.now))
}

/// A slot for the request of `exchange`, which is written down there, and when it was given: of its
/// audience's pool, or of the one that the audience falls back to.
pub async fn slot(exchange: &mut Exchange, errand: Errand<'_>) -> Result<(Grant, Clock), Fault> {
    if exchange.is_away() || errand.lost.is_some() {
        let fault = errand.lost.unwrap_or(Fault::NoEndpoint);
        return other_slot(exchange, errand).ok_or(fault);
    }
    let Some(pool) = exchange.pool() else { return Err(Fault::NoEndpoint) };
    let when_unhealthy = pool.config.when_unhealthy;
    if !exchange.may_go_away() {
        return own_slot(exchange, errand, when_unhealthy).await;
    }
    // Endpoints that are not well are tried only when there is no better place.
    let own = own_slot(exchange, errand, WhenUnhealthy::Refuse).await;
    let Err(fault @ (Fault::NoEndpoint | Fault::QueueFull)) = own else { return own };
    match other_slot(exchange, errand) {
        Some(granted) => Ok(granted),
        None if fault == Fault::NoEndpoint => own_slot(exchange, errand, when_unhealthy).await,
        None => Err(fault),
    }
}

/// A slot of the pool that the audience falls back to. Nobody waits for one there.
#[cold]
fn other_slot(exchange: &mut Exchange, errand: Errand<'_>) -> Option<(Grant, Clock)> {
    let now = Clock::now();
    let asking = Asking {
        tried: errand.tried,
        key: None,
        tunnel: errand.tunnel,
        when_unhealthy: WhenUnhealthy::Refuse,
        now_ms: clock_ms(now),
    };
    let granted = exchange.go_away(&asking)?;
    exchange.waited(Duration::ZERO);
    Some((granted, now))
}

async fn own_slot(
    exchange: &mut Exchange,
    errand: Errand<'_>,
    when_unhealthy: WhenUnhealthy,
) -> Result<(Grant, Clock), Fault> {
    let now = errand.now;
    let Some(pool) = exchange.pool() else { return Err(Fault::NoEndpoint) };
    let asking = asking(exchange, &errand, pool, when_unhealthy);
    let lacking = match exchange.worker().lease(pool, &asking) {
        Ok(lease) => {
            exchange.waited(Duration::ZERO);
            return Ok((Grant { lease, spare: None }, now));
        }
        Err(lacking) => lacking,
    };
    let waits = pool.config.when_empty == WhenEmpty::Wait && errand.tried.is_empty();
    if lacking == Lacking::Endpoint && !waits {
        return Err(Fault::NoEndpoint);
    }
    let granted = wait(exchange, errand, &asking, now).await;
    let told = Clock::now();
    // Whoever left was neither granted a slot nor refused one.
    if !matches!(granted, Err(Fault::ClientLeft)) {
        exchange.waited(told.saturating_duration_since(now));
    }
    granted.map(|granted| (granted, told))
}

/// What is known of the request to those who choose among the endpoints of `pool`.
fn asking<'e>(
    exchange: &Exchange,
    errand: &Errand<'e>,
    pool: &Pool,
    when_unhealthy: WhenUnhealthy,
) -> Asking<'e> {
    Asking {
        tried: errand.tried,
        key: key_of(pool, exchange, errand.head),
        tunnel: errand.tunnel,
        when_unhealthy,
        now_ms: clock_ms(errand.now),
    }
}

/// Waits in the pool's queue.
async fn wait(
    exchange: &Exchange,
    errand: Errand<'_>,
    asking: &Asking<'_>,
    now: Clock,
) -> Result<Grant, Fault> {
    let audience = exchange.audience();
    let (Some(pool), Some(stake)) = (exchange.pool(), &audience.stake) else {
        return Err(Fault::NoEndpoint);
    };
    let queue = pool.upstream.queue();
    let entered = queue.enter(stake, asking, patience(exchange, pool), now);
    let mut waiting = entered.map_err(|refused| fault_of(refused, pool))?;
    match until(&mut waiting, exchange, errand.contact, errand.total_at).await {
        Ended::Told(told) => told.map_err(|refused| fault_of(refused, pool)),
        Ended::Late => {
            let total = Instant::now() >= errand.total_at;
            let late = |refused| {
                if total { Fault::TotalTimeout } else { fault_of(refused, pool) }
            };
            waiting.leave().map_err(late)
        }
        // Nobody is there to be answered, whatever is granted now.
        Ended::Gone => Err(Fault::ClientLeft),
    }
}

/// Waits for a slot, for as long as patience and deadline last, or until the client goes.
async fn until(
    waiting: &mut Waiting,
    exchange: &Exchange,
    contact: &Contact,
    total_at: Instant,
) -> Ended {
    let wheel = &exchange.worker().wheel;
    let since = waiting.since();
    let mut gone = std::pin::pin!(contact.gone());
    loop {
        let now = Clock::now();
        let left = waiting.patience(now).saturating_sub(now.duration_since(since));
        if left.is_zero() || Instant::now() >= total_at {
            return Ended::Late;
        }
        let late = wheel.at((Instant::now() + left).min(total_at));
        // What was told is kept by the channel; the others only wait.
        tokio::select! {
            biased;
            told = waiting.told() => return Ended::Told(told),
            () = &mut gone => return Ended::Gone,
            () = late => {}
        }
    }
}

/// How long and how many may wait, with the pool as large as it is now.
fn patience(exchange: &Exchange, pool: &Pool) -> Patience {
    let queue = &pool.config.queue;
    let length = match queue.length {
        QueueLength::Fixed(length) => length,
        QueueLength::TimesCapacity(times) => {
            // A name that does not resolve stands for one endpoint at least.
            let written = u64::from(pool.config.capacity) * pool.config.endpoints.len() as u64;
            (times * pool.upstream.queue().slots().max(written) as f64).ceil() as u64
        }
    };
    let (wait, own) = (queue.wait, exchange.overrides().queue.unwrap_or(queue.wait));
    Patience { wait, own, length: usize::try_from(length).unwrap_or(usize::MAX) }
}

fn fault_of(refused: Refused, pool: &Pool) -> Fault {
    match refused {
        Refused::Full => Fault::QueueFull,
        // It is not the others that it has waited for in vain.
        Refused::Late if !pool.upstream.members().takes(&[], pool.config.when_unhealthy) => {
            Fault::NoEndpoint
        }
        Refused::Late => Fault::QueueTimeout,
    }
}

/// What the request is hashed by, in a pool that does that and where the request has it.
fn key_of(pool: &Pool, exchange: &Exchange, head: &Parts) -> Option<Place> {
    let Balance::Hash(by) = &pool.config.balance else { return None };
    key_by(by, exchange, head)
}

fn key_by(by: &HashBy, exchange: &Exchange, head: &Parts) -> Option<Place> {
    let place = |who: &[u8]| Place::of("balance", who);
    match by {
        HashBy::User => {
            let identity = exchange.asked().identity.as_ref();
            identity.map(|identity| place(identity.subject.as_bytes()))
        }
        HashBy::Sticky => exchange.asked().visitor.as_ref().map(|visitor| visitor.place("balance")),
        HashBy::First(keys) => keys.iter().find_map(|by| key_by(by, exchange, head)),
        HashBy::Client => Some(place(exchange.asked().client.to_string().as_bytes())),
        HashBy::Header(name) => head.headers.get(name).map(|value| place(value.as_bytes())),
        HashBy::Cookie(name) => cookie_value(&head.headers, name).map(|value| place(&value)),
    }
}
