//! How much a client may ask of a connection beside requests.
//!
//! A purse for each kind of frame that costs more here than there: it is full at first, fills up
//! by time, and what usher sends refills the one that answers to it. Whoever empties a purse is
//! not a browser, and the connection ends. The sizes leave several times what clients were seen to
//! need; `docs/http2.md` says what they are.

use std::time::Instant;

use super::frames::Frame;

/// Requests that are taken back. A browser resets all it has open when the user goes elsewhere,
/// which is at most as many as may be open.
const RESETS: (u32, u32) = (200, 20);

/// SETTINGS, PING, PRIORITY, unknown frames, and heads in pieces.
const CONTROL: (u32, u32) = (500, 20);

/// WINDOW_UPDATE. Some clients send two for every piece of an answer.
const ROOM: (u32, u32) = (1000, 50);

/// So many bytes of answers earn a WINDOW_UPDATE.
const BYTES_A_ROOM: usize = 512;

/// So many WINDOW_UPDATEs are earned by a request.
const ROOM_A_REQUEST: u32 = 4;

/// What a client has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// It takes its requests back.
    Resets,
    /// It speaks about the connection.
    Control,
    /// It gives room in crumbs.
    Room,
}

/// What is left of the patience with one client.
#[derive(Debug)]
pub(super) struct Patience {
    resets: Purse,
    control: Purse,
    room: Purse,
    /// Bytes sent that have not earned anything yet.
    sent: usize,
}

#[derive(Debug)]
struct Purse {
    left: u32,
    size: u32,
    per_second: u32,
    filled: Instant,
}

// === impl Patience ===

impl Patience {
    /// Full purses.
    pub(super) fn new(now: Instant) -> Self {
        let purse = |(size, per_second)| Purse { left: size, size, per_second, filled: now };
        Self { resets: purse(RESETS), control: purse(CONTROL), room: purse(ROOM), sent: 0 }
    }

    /// Counts one frame; it fails with what there was too much of.
    pub(super) fn count(
        &mut self,
        frame: Frame,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), Flood> {
        let (purse, flood) = match frame {
            // The `h2` crate counts frames of bodies that bring nothing.
            Frame::Data(_) => return Ok(()),
            Frame::Opens => {
                self.room.earn(ROOM_A_REQUEST);
                return Ok(());
            }
            Frame::Reset => (&mut self.resets, Flood::Resets),
            Frame::Room => (&mut self.room, Flood::Room),
            Frame::Fields | Frame::Control => (&mut self.control, Flood::Control),
        };
        if purse.pay(now) { Ok(()) } else { Err(flood) }
    }

    /// So many bytes went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        let earned = self.sent / BYTES_A_ROOM;
        self.sent %= BYTES_A_ROOM;
        self.room.earn(u32::try_from(earned).unwrap_or(u32::MAX));
    }
}

// === impl Purse ===

impl Purse {
    /// Pays one coin. The clock is only looked at when there seems to be none.
    fn pay(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let waited = now.saturating_duration_since(self.filled);
            let earned = waited.as_secs_f64() * f64::from(self.per_second);
            if earned < 1.0 {
                return false;
            }
            self.filled = now;
            self.left = (earned as u32).min(self.size);
        }
        self.left -= 1;
        true
    }

    fn earn(&mut self, coins: u32) {
        self.left = self.left.saturating_add(coins).min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(patience: &mut Patience, frame: Frame, at: Instant, tries: u32) -> u32 {
        (0..tries).take_while(|_| patience.count(frame, || at).is_ok()).count() as u32
    }

    #[test]
    fn each_kind_has_a_purse_that_fills_up_by_time() {
        let start = Instant::now();
        // What `docs/http2.md` says.
        for (frame, size, per_second) in
            [(Frame::Reset, 200, 20), (Frame::Control, 500, 20), (Frame::Room, 1_000, 50)]
        {
            let mut patience = Patience::new(start);
            assert_eq!(taken(&mut patience, frame, start, 20_000), size);
            let later = start + Duration::from_secs(2);
            assert_eq!(taken(&mut patience, frame, later, 20_000), 2 * per_second);
            let much_later = start + Duration::from_secs(3600);
            assert_eq!(taken(&mut patience, frame, much_later, 20_000), size);
        }
    }

    #[test]
    fn requests_and_bodies_cost_nothing_and_answers_earn_room() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(taken(&mut patience, Frame::Opens, start, 50_000), 50_000);
        assert_eq!(taken(&mut patience, Frame::Data(1), start, 50_000), 50_000);
        taken(&mut patience, Frame::Room, start, 1_000);
        for _ in 0..4 {
            patience.sent(256);
        }
        assert_eq!(taken(&mut patience, Frame::Room, start, 100), 2);
        patience.count(Frame::Opens, || start).expect("a request");
        assert_eq!(taken(&mut patience, Frame::Room, start, 100), 4);
    }
}
