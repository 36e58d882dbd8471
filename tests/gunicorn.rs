//! The requests that gunicorn's source distribution carries, valid and malformed, against the real
//! program. `tests/run gunicorn` fetches them.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "http/program.rs"]
mod program;
#[path = "http/recorder.rs"]
mod recorder;
#[path = "http/strict.rs"]
mod strict;

use std::{fs, time::Duration};

use program::Program;
use recorder::Recorder;
use regex::bytes::Regex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Malformed to gunicorn, and why not to us.
const TAKEN: &[(&str, &str)] = &[
    ("003c", "`-bl` is a token, and so a method; gunicorn wants letters unless told otherwise"),
    ("006", "a target of 4,100 bytes is within our limit"),
    ("007", "a field of 8,300 bytes is within our limit"),
    ("008", "fields of 12,400 bytes are within our limit"),
    ("010", "run with a limit of 10 bytes a field"),
    ("017", "a field of 8,200 bytes is within our limit"),
    ("019", "X-Forwarded-Proto and X-Forwarded-Ssl disagree, and neither passes"),
    ("040", "run with `header_map` on refuse; we drop names that hold `_`"),
    ("chunked_07", "run with `header_map` on refuse; we drop names that hold `_`"),
];

/// Valid to gunicorn, and why not to us.
const REFUSED: &[(&str, &str)] = &[
    ("002", "`0.0.0.0=5000` is no host"),
    ("003", "`0.0.0.0=5000` is no host"),
    ("005", "a raw `#` in the target"),
    ("009", "`Transfer-Encoding: identity`, beside a length, and a raw `#`"),
    ("014", "raw quotes in the target"),
    ("024", "a head of more than 16 KiB, run without limits"),
    ("025", "`Transfer-Encoding: gzip` ahead of `chunked`"),
    ("025_line", "`Transfer-Encoding: gzip,chunked`"),
    ("027", "a byte over 0x7e in the target"),
    ("028", "a blank before the colon, run with `strip_header_spaces`"),
    ("029", "`Transfer-Encoding: identity` ahead of `chunked`, and no end"),
    ("030", "`Transfer-Encoding: identity` ahead of `chunked`, and no end"),
    ("099", "a body shorter than its length"),
    ("compat_obs_fold", "a folded line, run with `permit_obsolete_folding`"),
    ("compat_obs_fold_huge", "a folded line, run with `permit_obsolete_folding`"),
    ("pp_01", "a PROXY header, run with `proxy_protocol`"),
    ("pp_02", "a PROXY header, run with `proxy_protocol`"),
];

#[tokio::test]
async fn what_is_malformed_to_gunicorn_is_refused_or_explained() {
    let mut taken = Vec::new();
    let recorder = Recorder::start().await;
    let usher = Program::start(&recorder.address.to_string(), "");
    for (name, bytes) in inputs("invalid") {
        for bytes in [with_host(&bytes), bytes] {
            let statuses = ask(&usher, &bytes).await;
            let record = recorder.take();
            assert_eq!(record.problems, [""; 0], "{name}: the origin refuses what it got");
            let served = statuses.iter().filter(|status| **status == 200).count();
            assert_eq!(record.requests.len(), served, "{name}: {statuses:?}");
            if served > 0 && !taken.contains(&name) {
                taken.push(name.clone());
            }
        }
    }
    let explained: Vec<&str> = TAKEN.iter().map(|(name, _)| *name).collect();
    assert_eq!(taken, explained);
}

#[tokio::test]
async fn what_is_valid_to_gunicorn_is_served_or_explained() {
    let mut refused = Vec::new();
    let recorder = Recorder::start().await;
    let usher = Program::start(&recorder.address.to_string(), "");
    for (name, bytes) in inputs("valid") {
        let statuses = ask(&usher, &with_host(&bytes)).await;
        let record = recorder.take();
        assert_eq!(record.problems, [""; 0], "{name}: the origin refuses what it got");
        if statuses.is_empty() || statuses.iter().any(|status| *status != 200) {
            refused.push(name);
        } else {
            assert_eq!(record.requests.len(), statuses.len(), "{name}");
        }
    }
    let explained: Vec<&str> = REFUSED.iter().map(|(name, _)| *name).collect();
    assert_eq!(refused, explained);
}

/// Names and bytes of the inputs in a folder.
fn inputs(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/target/gunicorn/tests/requests/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(&path).expect("`tests/run gunicorn` has fetched them");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut inputs: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, unescape(&fs::read(&path).expect("readable")))
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() > 20, "{path} holds next to nothing");
    inputs
}

/// They are written with line ends and some control bytes spelt out, and broken into lines.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for (from, to) in [("\n", ""), (r"\r\n", "\r\n"), (r"\0", "\0"), (r"\n", "\n"), (r"\t", "\t")] {
        let from = Regex::new(&regex::escape(from)).expect("it is one");
        bytes = from.replace_all(&bytes, to.as_bytes()).into_owned();
    }
    bytes
}

/// Most name no host, for which we refuse them; what is odd about them is to be seen.
fn with_host(bytes: &[u8]) -> Vec<u8> {
    let host = Regex::new(r"(?i)\nhost *:").expect("it is one");
    if host.is_match(bytes) {
        return bytes.to_vec();
    }
    let line = Regex::new(r"(?-u)( HTTP/1\.[01]\r\n)").expect("it is one");
    line.replace_all(bytes, &b"${1}Host: shop.example\r\n"[..]).into_owned()
}

/// Sends the bytes and leaves; the statuses of what came back.
async fn ask(usher: &Program, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(usher.address).await.expect("usher accepts");
    // usher may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut came = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut came)).await;
    let _ = read.expect("usher closes in time");
    let status = Regex::new(r"HTTP/1\.1 (\d{3}) ").expect("it is one");
    let statuses = status.captures_iter(&came).map(|found| {
        let digits = std::str::from_utf8(&found[1]).expect("digits");
        digits.parse().expect("a number")
    });
    statuses.collect()
}
