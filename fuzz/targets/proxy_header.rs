//! A PROXY header is read to its exact end or refused, however its bytes come, and what is written
//! of its addresses reads back as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::proxy_protocol::{HeaderError, Progress, Source, Version, look, write};

/// Reads as a door does: never shown more than was asked for.
fn read(bytes: &[u8], step: usize) -> Result<Option<(Source, usize)>, HeaderError> {
    let mut shown = 0;
    loop {
        match look(&bytes[..shown])? {
            Progress::Whole(source) => return Ok(Some((source, shown))),
            Progress::More(more) => {
                assert!(more > 0 && shown + more <= 4096);
                if shown == bytes.len() {
                    return Ok(None);
                }
                shown = (shown + more.min(step)).min(bytes.len());
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, usize::MAX);
    assert_eq!(whole, read(bytes, 1), "by one byte or by as many as there may be");
    let Ok(Some((Source::Client { source, destination }, _))) = whole else { return };
    for version in [Version::V1, Version::V2] {
        let header = write(version, source, destination);
        let (again, end) = read(&header, usize::MAX).expect("it is one").expect("it is whole");
        assert_eq!(end, header.len());
        let Source::Client { source: from, destination: to } = again else { panic!("{again:?}") };
        let plain = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
        assert_eq!((plain(from), plain(to)), (plain(source), plain(destination)));
    }
});
