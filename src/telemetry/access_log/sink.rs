//! Where lines end up, and what happens when they cannot.

use std::io::{self, Write};

use super::Target;

/// A file, or standard output, that may fail for a while.
pub(super) struct Sink {
    target: Target,
    out: Box<dyn Write + Send>,
    /// Whether the last thing written was a part of a line.
    torn: bool,
}

/// Lines that could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

// === impl Sink ===

impl Sink {
    pub(super) fn new(target: Target, out: Box<dyn Write + Send>) -> Self {
        Self { target, out, torn: false }
    }

    /// Writes `lines`, which are whole, in as few calls as the system allows. What fails is not
    /// tried again: the disk may be full for a long time, and lines keep coming.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        if self.torn {
            // Ends what was torn off, so that it spoils no other line.
            self.write_whole(b"\n").map_err(|(_, error)| lost(lines, error))?;
            self.torn = false;
        }
        self.write_whole(lines).map_err(|(written, error)| {
            self.torn = written.checked_sub(1).map_or(self.torn, |last| lines[last] != b'\n');
            lost(&lines[written..], error)
        })
    }

    /// Opens the target anew. The old one stays in use when that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Some(file) = self.target.open()? {
            self.out = Box::new(file);
            self.torn = false;
        }
        Ok(())
    }

    /// How many bytes were written before the error.
    fn write_whole(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.out.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

// === free functions ===

fn lost(lines: &[u8], error: io::Error) -> Lost {
    Lost { lines: memchr::memchr_iter(b'\n', lines).count() as u64, error }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, content) = &mut *self.0.lock();
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(*room).min(5);
            content.extend_from_slice(&bytes[..taken]);
            *room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_spoils_none_that_come_later() {
        let disk = Disk::default();
        let mut sink = Sink::new(Target::Off, Box::new(disk.clone()));
        disk.0.lock().0 = 10;
        let lost = sink.write(b"first\nsecond\nthird\n").expect_err("there is no room");
        assert_eq!(lost.lines, 2, "the torn one is lost as well");
        assert_eq!(sink.write(b"fourth\n").expect_err("still full").lines, 1);
        disk.0.lock().0 = 1_000;
        sink.write(b"fifth\n").expect("there is room again");
        assert_eq!(disk.0.lock().1, b"first\nseco\nfifth\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_any_more_loses_lines_and_ends_nothing() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut sink = Sink::new(Target::Off, Box::new(writer));
        drop(reader);
        let lost = sink.write(b"first\nsecond\n").expect_err("nobody reads");
        assert_eq!((lost.lines, lost.error.kind()), (2, io::ErrorKind::BrokenPipe));
    }
}
