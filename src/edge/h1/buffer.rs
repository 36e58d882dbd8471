//! Read and write buffers, shared by the connections of one worker.
//!
//! An idle connection owns none of them.

use std::cell::RefCell;

use bytes::BytesMut;

/// What one buffer holds.
pub(in crate::edge) const BUFFER_BYTES: usize = 16 * 1024;

/// How many unused buffers a worker keeps.
const UNUSED_MAX: usize = 64;

thread_local! {
    static UNUSED: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for [`BUFFER_BYTES`].
pub(in crate::edge) fn take() -> BytesMut {
    UNUSED.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Gives a buffer back, unless it has grown or parts of it are still in use.
pub(in crate::edge) fn give(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(BUFFER_BYTES) && buffer.capacity() < 2 * BUFFER_BYTES {
        UNUSED.with_borrow_mut(|unused| {
            if unused.len() < UNUSED_MAX {
                unused.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_whole_once_nothing_refers_to_it() {
        let mut buffer = take();
        buffer.extend_from_slice(b"abc");
        let part = buffer.split_to(2).freeze();
        drop(part);
        give(buffer);
        assert_eq!(UNUSED.with_borrow(Vec::len), 1);
        let mut buffer = take();
        assert!(buffer.is_empty() && buffer.capacity() >= BUFFER_BYTES);
        buffer.extend_from_slice(b"abc");
        let _part = buffer.split_to(2).freeze();
        give(buffer);
        assert_eq!(UNUSED.with_borrow(Vec::len), 0);
    }
}
