//! Shaking hands with a client of TLS, up to the first byte within.
//!
//! Two flights of the client and one of ours, which goes out whole in one write. What TLS 1.3 says
//! behind them, session tickets, is left for the session to send along with what it writes first.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ServerConfig, ServerConnection, server::Accepted};

use super::{
    session::{flush, only_tickets_wait, receive},
    socket::{Outward, Socket},
};

/// Shakes hands over `socket` with the client whose hello is `accepted`, as `config` says.
///
/// Dropping it leaves the handshake undone.
///
/// # Errors
/// The client left, or the two do not understand each other; then it has been told why.
pub async fn shake_hands(
    socket: &Socket,
    accepted: Accepted,
    config: Arc<ServerConfig>,
) -> io::Result<ServerConnection> {
    let mut tls = accepted.into_connection(config).map_err(|(error, mut alert)| {
        // As the first there is, it fits into the socket's buffer.
        let _ = alert.write_all(&mut Outward(socket));
        io::Error::new(io::ErrorKind::InvalidData, error)
    })?;
    poll_fn(|cx| poll_hands(cx, socket, &mut tls)).await?;
    Ok(tls)
}

fn poll_hands(
    cx: &mut Context<'_>,
    socket: &Socket,
    tls: &mut ServerConnection,
) -> Poll<io::Result<()>> {
    loop {
        // In TLS 1.2 the last word is ours, and the client waits for it.
        let is_over = !tls.is_handshaking();
        if is_over && only_tickets_wait(tls) {
            return Poll::Ready(Ok(()));
        }
        while tls.wants_write() {
            match flush(tls, socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(socket.poll_write_ready(cx))?;
                }
                flushed => drop(flushed?),
            }
        }
        if is_over {
            return Poll::Ready(Ok(()));
        }
        ready!(socket.poll_read_ready(cx))?;
        match receive(tls, socket, |_| Ok(())) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => received?,
        }
    }
}
