//! Both directions of a tunnel, and how usher takes its leave from both sides.
//!
//! ```text
//!            leave
//! carrying ─────────▶ a frame of the monolith's ends ─▶ close 1012 to the client
//!    │                                                        │ its close, its end, or long enough
//!    └ both sides have ended ─▶ over ◀── close 1001 to the monolith
//! ```
//!
//! Until the client answers with its close, what it says still reaches the monolith. 1012 (service
//! restart) has a client come back; the monolith is told 1001 (going away), which is what a browser
//! says that leaves: ActionCable knows no 1012 and would take it for a violation of the protocol.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    activity::{Activity, Side},
    frames::{close_from_client, close_from_server},
    half::Half,
};
use crate::deadline::Wheel;

/// "Service Restart", in IANA's registry of close codes.
const SERVICE_RESTART: u16 = 1012;

/// "Going away" (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// How long either side may take to answer a close.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A tunnel's two sides and two directions.
pub(super) struct Carrier<'a, C, U> {
    client: C,
    upstream: U,
    up: Half,
    down: Half,
    activity: &'a Activity,
}

// === impl Carrier ===

impl<'a, C, U> Carrier<'a, C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// A tunnel between two sides, of each of which so much has come already.
    pub(super) fn new(
        (client, early): (C, Bytes),
        (upstream, said): (U, Bytes),
        activity: &'a Activity,
    ) -> Self {
        let up = Half::new(Side::Client, early, activity);
        let down = Half::new(Side::Upstream, said, activity);
        Self { client, upstream, up, down, activity }
    }

    /// Whether a side has said its close, or the monolith its last word: there is no leave to take.
    pub(super) fn is_closing(&self) -> bool {
        self.up.is_closing() || self.down.is_closing() || self.down.has_ended()
    }

    /// Carries bytes both ways until both sides have ended. Loses nothing when it is dropped.
    pub(super) async fn carry(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let Self { client, upstream, up, down, activity } = self;
            let (mut client, mut upstream) = (Pin::new(client), Pin::new(upstream));
            let up = up.poll_carry(cx, client.as_mut(), upstream.as_mut(), activity)?;
            let down = down.poll_carry(cx, upstream, client, activity)?;
            if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Closes the tunnel between two frames; the client is to come back later.
    ///
    /// # Errors
    /// A side broke before it had been told.
    pub(super) async fn take_leave(&mut self, wheel: &Wheel) -> io::Result<()> {
        self.down.stop_between(Bytes::copy_from_slice(&close_from_server(SERVICE_RESTART)));
        self.up.stop_at_close(going_away());
        // Both directions go on until the client has been told.
        poll_fn(|cx| {
            let Self { client, upstream, up, down, activity } = self;
            let (mut client, mut upstream) = (Pin::new(client), Pin::new(upstream));
            let _gone = up.poll_carry(cx, client.as_mut(), upstream.as_mut(), activity)?;
            let told = down.poll_carry(cx, upstream, client, activity)?;
            told.map(Ok::<_, io::Error>)
        })
        .await?;
        // Both know now: whatever becomes of the rest, the tunnel has been closed as it should.
        let _late = wheel.within(Instant::now() + CLOSE_WAIT, self.hear_out()).await;
        self.up.stop_between(going_away());
        let last = poll_fn(|cx| {
            let Self { client, upstream, up, activity, .. } = self;
            let said = up.poll_carry(cx, Pin::new(client), Pin::new(upstream), activity);
            Poll::Ready(said.is_ready())
        });
        last.await;
        Ok(())
    }

    /// Hears the client out, then the monolith, whose words go nowhere any more.
    async fn hear_out(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let Self { client, upstream, up, activity, .. } = self;
            up.poll_carry(cx, Pin::new(client), Pin::new(upstream), activity)
        })
        .await?;
        // A server ends the connection first (RFC 6455 §7.1.1).
        poll_fn(|cx| Pin::new(&mut self.client).poll_shutdown(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.upstream).poll_shutdown(cx)).await?;
        poll_fn(|cx| {
            loop {
                let mut piece = [const { MaybeUninit::uninit() }; 1024];
                let mut piece = ReadBuf::uninit(&mut piece);
                match Pin::new(&mut self.upstream).poll_read(cx, &mut piece) {
                    Poll::Ready(Ok(())) if !piece.filled().is_empty() => {}
                    Poll::Ready(ended) => return Poll::Ready(ended),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

fn going_away() -> Bytes {
    Bytes::copy_from_slice(&close_from_client(GOING_AWAY, fastrand::u32(..)))
}
