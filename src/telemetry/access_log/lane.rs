//! The lines of one thread on their way to the writer.

use parking_lot::Mutex;

use super::line::Line;

/// The most that one half of a lane holds.
pub(super) const HALF_BYTES_MAX: usize = 1024 * 1024;

/// The lines of one thread, in order within each half.
#[derive(Default)]
pub(super) struct Lane([Mutex<Vec<u8>>; 2]);

// === impl Lane ===

impl Lane {
    /// Takes `line`, or says that there is no room for it.
    pub(super) fn push(&self, line: &Line<'_>) -> bool {
        // The writer is never in both halves, and nobody else is in either.
        let Some(mut half) = self.0.iter().find_map(Mutex::try_lock) else { return false };
        let before = half.len();
        let fits = line.write_to(&mut half) && half.len() <= HALF_BYTES_MAX;
        if !fits {
            half.truncate(before);
        }
        fits
    }

    /// Moves what a half holds out, leaving `empty` in its place; `empty` comes back where there
    /// was nothing.
    pub(super) fn take(&self, half: usize, empty: Vec<u8>) -> Vec<u8> {
        let mut lines = self.0[half].lock();
        if lines.is_empty() { empty } else { std::mem::replace(&mut *lines, empty) }
    }

    /// Whether there is any line.
    pub(super) fn has_lines(&self) -> bool {
        self.0.iter().any(|half| !half.lock().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_finds_the_half_that_the_writer_is_not_in() {
        let lane = Lane::default();
        let writer = lane.0[0].lock();
        assert!(lane.push(&Line::default()));
        drop(writer);
        assert!(lane.push(&Line::default()));
        let taken = [0, 1].map(|half| lane.take(half, Vec::new()).len());
        assert!(taken[0] > 0 && taken[0] == taken[1]);
        assert!(!lane.has_lines());
    }

    #[test]
    fn a_lane_without_room_takes_nothing_and_stays_whole() {
        let lane = Lane::default();
        let path = "x".repeat(HALF_BYTES_MAX / 4);
        let line = Line { path: Some(&path), ..Line::default() };
        let taken = (0..10).filter(|_| lane.push(&line)).count();
        assert_eq!(taken, 3);
        let lines = lane.take(0, Vec::new());
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), taken);
        assert_eq!(lines.last(), Some(&b'\n'));
        assert!(lane.push(&line), "there is room again");
    }
}
