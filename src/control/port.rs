//! Connections of the two ports. Few clients are expected here; each has limits all the same.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Closing, guard::Whence};
use crate::{
    descriptors::{self, Place},
    edge::{Connected, Listener},
};

/// Connections of one port.
pub(super) const CONNECTIONS_MAX: usize = 128;

/// From the connection, or the answer before, to a whole head: idle time is part of it.
pub(super) const HEAD_WAIT: Duration = Duration::from_secs(30);

const HEAD_BYTES_MAX: usize = 16 * 1024;

const HEADERS_MAX: usize = 64;

/// How old a connection may become, so that one that takes nothing ends as well.
pub(super) const AGE_MAX: Duration = Duration::from_secs(600);

/// How long the answer at that age may still take.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until dropped, or until another process does; then its connections end.
#[expect(clippy::disallowed_methods, reason = "a pause of the port, on the house thread")]
pub(super) async fn serve(listener: Listener, router: Router, closing: Closing) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut lent = Vec::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Neither a permit nor a connection is lost when it closes first: the socket lives on.
        let accepted = tokio::select! {
            biased;
            () = closed(closing.clone()) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((accepted, permit)) = accepted else { return };
        match accepted {
            Ok(socket) => {
                let from = Whence::of(&socket);
                let router = router.clone().layer(Extension(from));
                let connection = converse(socket, router, closing.clone());
                let lent = std::mem::take(&mut lent);
                connections.spawn(async move {
                    connection.await;
                    drop((permit, lent));
                });
            }
            // Clients have taken all descriptors but those that are kept for this.
            Err(error) if descriptors::are_exhausted(&error) => {
                descriptors::lacked(Place::Port);
                // Somebody else may be quicker; then another one is given up.
                match descriptors::lend() {
                    Some(one) => lent.push(one),
                    None => {
                        tracing::warn!(%error, "a port of usher's own cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                        descriptors::refill();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a port of usher's own cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A connection when there is room for one.
async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
) -> Option<(io::Result<Connected>, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    Some((listener.accept().await, permit))
}

/// Ready when another process answers here.
async fn closed(mut closing: Closing) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending::<()>().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "few connections, on the house thread: there is no wheel here"
)]
async fn converse(socket: Connected, router: Router, closing: Closing) {
    let stream = match socket.watch() {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot watch a connection"),
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let aged = tokio::select! {
        ended = connection.as_mut() => {
            // Whoever breaks off a connection to this port knows it already.
            ended.unwrap_or_else(|error| tracing::debug!(%error, "a control connection ended"));
            false
        }
        () = sleep(AGE_MAX) => true,
        () = closed(closing) => true,
    };
    if aged {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}
