//! What curl asks for.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Pair;

/// What curl said.
pub struct Said {
    pub stdout: String,
    pub stderr: String,
}

/// Runs curl, which must be content.
pub fn curl(options: &[&str], urls: &[&str], stdin: impl Into<Stdio>) -> Said {
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--max-time", "90"])
        .args(["--noproxy", "*"])
        .args(options)
        .args(urls)
        .stdin(stdin)
        .output()
        .expect("curl is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said { stdout: text(&output.stdout), stderr: text(&output.stderr) };
    assert!(output.status.success(), "{options:?} {urls:?}: {}{}", said.stdout, said.stderr);
    said
}

#[tokio::test]
async fn curl_gets_what_it_asks_for() {
    let pair = Pair::start(2, "").await;
    let run = |options: &[&str], path: &str| curl(options, &[&pair.url(path)], Stdio::null());

    let page = run(&["--include"], "/menus/1").stdout;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(!page.to_ascii_lowercase().contains("\r\nx-usher-"), "{page}");

    let order = run(&["--data", "menu_id=1&quantity=2"], "/orders").stdout;
    let order: Value = serde_json::from_str(&order).unwrap();
    assert_eq!(order["quantity"], 2);

    let head = run(&["--head"], "/bytes/1000000").stdout;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\ncontent-length: 1000000\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");

    // A client of HTTP/1.0 knows no chunks: the connection's end is the body's.
    let version = ["--http1.0", "--output", "-", "--write-out", "%{http_version}/%{size_download}"];
    assert!(run(&version, "/bytes/3000?chunked=1").stdout.ends_with("1.1/3000"));
    assert!(run(&version, "/bytes/3000").stdout.ends_with("1.1/3000"));

    // Two pages over one connection, and a page over another.
    let urls = [&*pair.url("/up"), &*pair.url("/bytes/5"), &*pair.url("/up")];
    let connects = ["--write-out", "%{num_connects} "];
    let silent = ["--output", "/dev/null", "--output", "/dev/null", "--output", "/dev/null"];
    let said = curl(&[&connects[..], &silent[..]].concat(), &urls, Stdio::null());
    assert_eq!(said.stdout, "1 0 0 ");

    let samples = pair.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 8.0);
    assert_eq!(samples.sum("usher_requests_total", &[]), 8.0);
}
