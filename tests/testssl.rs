//! `testssl.sh` against a listener: everything it knows to try, which takes minutes.
//!
//! Transport: TLS itself.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

mod support;

use support::{
    authority::Authority,
    origin::{Origin, ok},
    usher::Usher,
};

/// What it finds in any test's certificate, and what is no business of a proxy: the certificate is
/// of a root that no store knows, for a month, without a place for revocation, and nobody has said
/// in DNS who may sign it. Headers of answers are Rails'. And one that is meant so: all ciphers are
/// good, so the client's order is followed, as Mozilla's *intermediate* profile has it; a phone
/// without AES in hardware asks for ChaCha20 first.
const OF_THE_TEST: [&str; 11] = [
    "cipher_order",
    "security_headers",
    "cert_trust",
    "cert_chain_of_trust",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "cert_revocation",
    "cert_caIssuers",
    "DNS_CAArecord",
    "OCSP_stapling",
    "certificate_transparency",
];

/// Every finding that is worse than `LOW`, with its grade.
fn findings(report: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(report).expect("a report");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let all = all.as_array().expect("a list of findings");
    // Or it was not done.
    let whole = |finding: &Value| finding["id"] == "scanTime" && finding["severity"] == "INFO";
    assert!(all.iter().any(whole) && all.len() > 80, "{text}");
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let bad = |finding: &&Value| {
        let severity = word(finding, "severity");
        let id = word(finding, "id");
        let of_the_test = OF_THE_TEST.iter().any(|known| id.starts_with(known));
        // What is warned of is what could not be tried here.
        !["OK", "INFO", "LOW", "WARN"].contains(&&*severity) && !of_the_test
    };
    let told = |finding: &Value| {
        let part = |key| word(finding, key);
        format!("{} {}: {}", part("severity"), part("id"), part("finding"))
    };
    all.iter().filter(bad).map(told).collect()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the program runs while usher's test waits")]
async fn testssl_finds_nothing_that_is_ushers() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    let issued = root.issue_with(&["localhost"], |params| {
        let year = jiff::Timestamp::now().to_string()[..4].parse::<i32>().expect("a year");
        params.not_before = rcgen::date_time_ymd(year, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + 1, 1, 31);
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    });
    issued.write(directory.path(), "shop");
    std::fs::write(directory.path().join("root.crt"), root.root()).expect("it can be written");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0, hsts: {{ max_age: 365d }}, \
           tls: {{ certificates: [{{ cert: shop.crt, key: shop.key }}] }} }}]\n\
         control: off\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint()
    );
    let path = directory.path().join("usher.yaml");
    std::fs::write(&path, text).expect("it can be written");
    origin.serve(|_| ok("here"));
    let usher = Usher::start_at(&path).await;
    let report = directory.path().join("report.json");
    let mut testssl = Command::new("testssl");
    testssl
        .args(["--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1"])
        .args(["--nodns", "none", "--add-ca"])
        .arg(directory.path().join("root.crt"))
        .arg("--jsonfile")
        .arg(&report)
        .arg(format!("localhost:{}", usher.address().port()))
        .stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || testssl.output().expect("it is installed"));
    let said = String::from_utf8_lossy(&ran.await.expect("no panic").stdout).into_owned();
    assert_eq!(findings(&report), [""; 0], "{said}");
    usher.stop().await;
}
