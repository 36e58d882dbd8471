//! An answer that usher takes is the same to a second, simple reader, in whatever pieces it comes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::upstream::fuzzing::answer;

fuzz_target!(|bytes: &[u8]| {
    let taken = answer(bytes, bytes.len());
    let in_pieces = answer(bytes, 7);
    let seen = |whole: &usher::upstream::fuzzing::Whole| (whole.head.status, whole.body.clone());
    assert_eq!(taken.as_ref().map(seen), in_pieces.as_ref().map(seen));
    let Some(taken) = taken else { return };
    let status = taken.head.status.as_u16();
    if status == 101 {
        return;
    }
    let (simple_status, simple_body) = read(bytes).expect("what is taken can be read");
    assert_eq!(status, simple_status);
    assert_eq!(taken.body, simple_body);
});

/// Status and body of the final answer at the beginning of `bytes`.
fn read(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let status: u16 = std::str::from_utf8(lines.next()?.get(9..12)?).ok()?.parse().ok()?;
    if (100..200).contains(&status) && status != 101 {
        return read(rest);
    }
    if status == 204 || status == 304 {
        return Some((status, Vec::new()));
    }
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(std::str::from_utf8(value).ok()?.parse::<usize>().ok()?);
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    match (chunked, length) {
        (true, _) => unchunk(rest).map(|body| (status, body)),
        (false, Some(length)) => Some((status, rest.get(..length)?.to_vec())),
        (false, None) => Some((status, rest.to_vec())),
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = rest[..end].split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(line).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return trailers_end(rest).then_some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// Whether every line up to an empty one ends with CRLF.
fn trailers_end(rest: &[u8]) -> bool {
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n');
    lines.by_ref().take_while(|line| *line != b"\r\n").all(|line| line.ends_with(b"\r\n"))
}
