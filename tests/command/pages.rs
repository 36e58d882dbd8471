//! In which pages the real binary has its memory: what the kernel says of it.

use std::fs;

use crate::support::binary::Binary;

#[tokio::test]
async fn a_running_usher_gets_no_huge_pages_whatever_its_allocator_asks_for() {
    let usher = Binary::start(
        "audiences: [{ name: all, pool: web }]\n\
         pools: { web: { endpoints: [127.0.0.1:1], capacity: 5 } }\n",
    )
    .await;
    let status = format!("/proc/{}/status", usher.pid().as_raw_nonzero());
    let status = fs::read_to_string(status).expect("it runs");
    let said = status.lines().find(|line| line.starts_with("THP_enabled:"));
    assert!(said.is_some_and(|line| line.ends_with('0')), "{status}");
}
