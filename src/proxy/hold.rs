//! Where a request waits because an operator has paused its audience or its pool.
//!
//! It holds no slot and no place in a queue here: it has not asked for either. What it holds is its
//! client's connection and its gathered body, which is why not everybody may wait.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{contact::Contact, exchange::Exchange, worker::Worker};
use crate::{
    drain::Stage,
    fault::Fault,
    snapshot::Pool,
    verbs::{Held, Line, Turn},
};

/// How long before usher cuts what is left nobody waits any more: an answer takes its time, and who
/// came after stopping had begun counts from when it came.
const FAREWELL: Duration = Duration::from_secs(2);

/// Waits until neither audience nor pool is paused. The exchange keeps the turns until its slot is
/// free again, so that those behind it do not all go on at once.
///
/// # Errors
///
/// Too many wait, or it has waited for too long, or usher is about to end; the client has left;
/// maintenance has begun.
pub async fn hold(exchange: &mut Exchange, contact: &Contact) -> Result<(), Fault> {
    let began = Instant::now();
    let mut passed: Vec<Arc<Line>> = Vec::new();
    let ended = loop {
        if let Err(fault) = exchange.admit() {
            break Err(fault);
        }
        let Some(held) = next(exchange, &passed) else { break Ok(()) };
        match turn(exchange, &held, contact, began).await {
            Ok(turn) => exchange.goes_on(turn),
            Err(fault) => {
                if fault == Fault::Paused {
                    exchange.come_back(held.until);
                }
                break Err(fault);
            }
        }
        passed.push(held.line);
    };
    if !passed.is_empty() || ended.is_err() {
        exchange.held(began.elapsed());
    }
    ended
}

/// The next line to wait in.
fn next(exchange: &Exchange, passed: &[Arc<Line>]) -> Option<Held> {
    let pool = exchange.pool()?;
    exchange.worker().common.gates.held(&exchange.audience().name, &pool.name, passed)
}

async fn turn(
    exchange: &Exchange,
    held: &Held,
    contact: &Contact,
    began: Instant,
) -> Result<Turn, Fault> {
    let slots = exchange.pool().map_or(1, slots);
    let mut waiting = held.line.enter(held.requests, slots).map_err(|_full| Fault::Paused)?;
    let over = exchange.worker().wheel.at(began + held.wait);
    let cut_off = cut_is_near(exchange.worker());
    // A turn that comes too late lies in its channel, and is passed on when that is dropped.
    tokio::select! {
        biased;
        () = contact.gone() => Err(Fault::ClientLeft),
        turn = waiting.turn() => Ok(turn),
        () = over => Err(Fault::Paused),
        () = cut_off => Err(Fault::Paused),
    }
}

/// Ready when usher stops and will soon cut what is left: who would be cut is told to come back.
async fn cut_is_near(worker: &Worker) {
    worker.common.drain.latch(Stage::Finishing).await;
    let requests = worker.common.published.current().config.drain.requests;
    worker.wheel.at(Instant::now() + requests - FAREWELL.min(requests / 4)).await;
}

/// How many requests the pool can serve at once.
fn slots(pool: &Pool) -> usize {
    let members = pool.upstream.members();
    let usable = members.iter().filter(|member| member.endpoint.is_usable()).count();
    usable * pool.config.capacity as usize
}
