//! TLS as others see it: curl, OpenSSL, and `sslyze` with Mozilla's *intermediate* profile; and
//! Unix sockets as others use them.
//!
//! Transport: TLS itself, and Unix sockets.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
};

#[path = "tls_clients/local.rs"]
mod local;
#[path = "tls_clients/sessions.rs"]
mod sessions;
#[path = "support/mod.rs"]
mod support;

use support::{
    authority::Authority,
    origin::{Origin, ok},
    usher::Usher,
};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");

/// What a publicly trusted certificate has: it is good for 90 days, beginning yesterday.
const DAYS: i64 = 90;

/// An usher with a certificate for `shop.example` and `localhost`, below `directory`.
async fn started(directory: &Path) -> Usher {
    let authority = Authority::new("root");
    let day = |days: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let text = at.to_string();
        let mut parts = text[..10].split('-').map(|part| part.parse().expect("a part of a date"));
        let mut part = || -> u16 { parts.next().expect("year, month, day") };
        let (year, month, day) = (part(), part(), part());
        rcgen::date_time_ymd(year.into(), month as u8, day as u8)
    };
    let issued = authority.issue_with(&["shop.example", "localhost"], |params| {
        params.not_before = day(-1);
        params.not_after = day(DAYS - 1);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    });
    issued.write(directory, "shop");
    std::fs::write(directory.join("root.crt"), authority.root()).expect("it can be written");
    let origin = Origin::start().await;
    let at = directory.display();
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0, \
           tls: {{ certificates: [{{ cert: {at}/shop.crt, key: {at}/shop.key }}] }} }}]\n\
         control: off\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint()
    );
    origin.serve(|_| ok("here"));
    Usher::start(&text).await
}

/// Runs `command` with `input`, beside usher.
#[expect(clippy::disallowed_methods, reason = "the program runs while usher's test waits")]
async fn run(mut command: Command, input: &'static str) -> (Output, String) {
    let ran = tokio::task::spawn_blocking(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tests/run has installed it");
        // It may end before it has read all.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    });
    let output = ran.await.expect("no panic");
    let both = [&*output.stdout, &*output.stderr].concat();
    (output, String::from_utf8_lossy(&both).into_owned())
}

fn curl(directory: &Path, address: SocketAddr, options: &[&str]) -> Command {
    let port = address.port();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(directory.join("root.crt"))
        .args(["--resolve", &format!("shop.example:{port}:127.0.0.1")])
        .args(["--write-out", "\n%{http_version} %{ssl_verify_result} %{http_code}"])
        .args(options)
        .arg(format!("https://shop.example:{port}/"));
    curl
}

/// What `openssl s_client` says of a request with `options`. OpenSSL reads its input to the end,
/// asks, and says what comes until usher closes.
async fn s_client(directory: &Path, address: SocketAddr, options: &[&str]) -> (bool, String) {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["s_client", "-ign_eof", "-servername", "shop.example", "-verify_return_error"])
        .args(["-verify_hostname", "shop.example", "-connect", &address.to_string(), "-CAfile"])
        .arg(directory.join("root.crt"))
        .args(options);
    let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    let (output, text) = run(openssl, request).await;
    (output.status.success(), text)
}

#[tokio::test]
async fn curl_is_served_in_every_version() {
    let directory = tempfile::tempdir().expect("a directory");
    let usher = started(directory.path()).await;
    for options in [
        ["--tlsv1.2", "--tls-max", "1.2", "--http1.1"],
        ["--tlsv1.3", "--tls-max", "1.3", "--http1.1"],
    ] {
        let (_, said) = run(curl(directory.path(), usher.address(), &options), "").await;
        assert_eq!(said, "here\n1.1 0 200", "{options:?}");
    }
    let old = ["--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    let (output, said) = run(curl(directory.path(), usher.address(), &old), "").await;
    assert!(!output.status.success(), "{said}");
    usher.stop().await;
}

#[tokio::test]
async fn openssl_verifies_resumes_and_is_told_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let usher = started(directory.path()).await;
    let session = directory.path().join("session").display().to_string();
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (good, said) =
            s_client(directory.path(), usher.address(), &[option, "-sess_out", &session]).await;
        assert!(good && said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("HTTP/1.1 200 OK") && said.contains(version), "{said}");
        // Its word for an end of the socket without a close_notify.
        assert!(!said.contains("unexpected eof"), "{said}");
        let (_, said) =
            s_client(directory.path(), usher.address(), &[option, "-sess_in", &session]).await;
        assert!(said.contains(&format!("Reused, {version}")), "{said}");
    }
    usher.stop().await;
}

#[tokio::test]
async fn mozillas_intermediate_profile_finds_nothing_but_that_the_root_is_a_tests() {
    let directory = tempfile::tempdir().expect("a directory");
    let usher = started(directory.path()).await;
    let mut sslyze = Command::new(PYTHON);
    sslyze
        .args(["-m", "sslyze", "--mozilla_config", "intermediate", "--certinfo_ca_file"])
        .arg(directory.path().join("root.crt"))
        .arg(format!("localhost:{}", usher.address().port()));
    let (_, said) = run(sslyze, "").await;
    let (_, verdict) = said.split_once("COMPLIANCE AGAINST").expect("a verdict");
    assert!(verdict.contains("intermediate"), "{said}");
    let findings: Vec<&str> =
        verdict.lines().filter_map(|line| line.trim_start().strip_prefix("* ")).collect();
    // No public store knows the root of a test.
    let path = "certificate_path_validation: Certificate path validation failed for \
                CN=shop.example.";
    assert_eq!(findings, [path], "{said}");
    for line in said.lines().filter(|line| line.contains("ulnerable")) {
        assert!(line.contains("OK - Not vulnerable"), "{line}");
    }
    usher.stop().await;
}
