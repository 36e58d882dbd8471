//! Memory in pages of the usual size.
//!
//! The allocator advises the system to back what it takes with huge pages (`MADV_HUGEPAGE`,
//! madvise(2)), and many systems give them to everybody (`transparent_hugepage/enabled`). The first
//! byte that is written to one has the system find and clear 2 MiB within that one instruction:
//! milliseconds where memory is scarce or a hypervisor has to find it, during which the thread
//! neither takes strides nor gives way, whatever else wants the core. And it is resident whole,
//! however little of it is used. usher writes to little memory and to the same again and again;
//! what it does for a request costs no less with huge pages (`docs/performance.md`).

/// From now on no memory of this process comes in huge pages, nor of those that it executes.
pub(super) fn keep_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        // Before Linux 3.15, or where a filter of system calls does not let it be said.
        tracing::debug!(%error, "the system does not let huge pages be declined");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_that_declined_huge_pages_gets_none() {
        super::keep_small();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().expect("it can be asked"));
    }
}
