//! What is said of certificates that end: by `check`, when usher starts, and when one is renewed by
//! another that ends as soon.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::support::{
    authority::Authority,
    binary::{Binary, said, usher},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Puts certificates that have ended, end soon, and end later into `directory`, for clients to be
/// shown, and one that endpoints are shown.
fn issue(authority: &Authority, directory: &Path) {
    let now = SystemTime::now();
    for (name, ends) in [
        ("shop", now - 50 * HOUR - 30 * MINUTE),
        ("api", now + 3 * DAY + 30 * MINUTE),
        ("last", now + 40 * MINUTE + Duration::from_secs(59)),
        ("later", now + 15 * DAY),
    ] {
        authority.issue_until(&[&format!("{name}.example")], ends).write(directory, name);
    }
    let shown = authority.issue_client_until("usher", now + 25 * HOUR + 30 * MINUTE);
    shown.write(directory, "usher");
    fs::write(directory.join("ca.crt"), authority.root()).expect("it can be written");
}

const TEXT: &str = "listeners:
  - bind: 127.0.0.1:0
    tls:
      certificates:
        - { cert: shop.crt, key: shop.key }
        - { cert: api.crt, key: api.key }
        - { cert: last.crt, key: last.key }
        - { cert: later.crt, key: later.key }
control: { bind: 127.0.0.1:0 }
metrics: { bind: 127.0.0.1:0 }
audiences: [{ name: everyone, pool: rails }]
pools:
  rails:
    endpoints: [127.0.0.1:3000]
    capacity: 5
    tls: { roots: ca.crt, certificate: { cert: usher.crt, key: usher.key } }
";

const SAID: &str = "FILE:5:19: warning: the certificate of `CN=shop.example` ended 50h ago
     5 |         - { cert: shop.crt, key: shop.key }
       |                   ^^^^^^^^
  hint: renew it; usher takes the new one into use within two seconds
FILE:6:19: warning: the certificate of `CN=api.example` ends in 3d
     6 |         - { cert: api.crt, key: api.key }
       |                   ^^^^^^^
  hint: renew it; usher takes the new one into use within two seconds
FILE:7:19: warning: the certificate of `CN=last.example` ends in 40m
     7 |         - { cert: last.crt, key: last.key }
       |                   ^^^^^^^^
  hint: renew it; usher takes the new one into use within two seconds
FILE:16:48: warning: the certificate of `CN=usher` ends in 25h
    16 |     tls: { roots: ca.crt, certificate: { cert: usher.crt, key: usher.key } }
       |                                                ^^^^^^^^^
  hint: renew it; usher takes the new one into use within two seconds
";

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn check_tells_of_certificates_that_have_ended_or_end_soon_word_for_word() {
    let (authority, directory) = (Authority::new("root"), tempfile::tempdir().expect("a place"));
    issue(&authority, directory.path());
    let path = directory.path().join("usher.yaml");
    fs::write(&path, TEXT).expect("it can be written");
    let file = path.to_str().expect("text");
    let expected = format!("{SAID}0 errors, 4 warnings\n").replace("FILE", file);
    for (strict, code) in [(false, 0), (true, 2)] {
        let mut check = usher(&["check", "--config", file]);
        check.args(strict.then_some("--strict"));
        let output = check.output().expect("it runs");
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(code), "strict: {strict}");
    }
    let output = said(&["check", "--config", file, "--format", "json"]);
    let view: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&view["errors"], &view["warnings"]), (&0.into(), &4.into()), "{view}");
    let first = &view["problems"][0];
    assert_eq!(first["severity"], "warning");
    assert_eq!(first["message"], "the certificate of `CN=shop.example` ended 50h ago");
}

#[tokio::test]
async fn a_start_and_a_renewal_tell_of_the_same_and_stop_nothing() {
    let (authority, directory) = (Authority::new("root"), tempfile::tempdir().expect("a place"));
    issue(&authority, directory.path());
    let at = |name: &str| directory.path().join(name).display().to_string();
    let listener = format!(
        "{{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {}, key: {} }}] }} }}",
        at("shop.crt"),
        at("shop.key")
    );
    let text = format!(
        "listeners: [{listener}]\ncontrol: {{ bind: 127.0.0.1:0 }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [127.0.0.1:1], capacity: 5 }} }}\n"
    );
    let usher = Binary::start_whole(&text).await;
    let warned = "warning: the certificate of `CN=shop.example` ";
    assert!(usher.log().contains(&format!("{warned}ended 50h ago")), "{}", usher.log());
    // It is renewed, by one that does not last.
    let ends = SystemTime::now() + 2 * DAY + 30 * MINUTE;
    let renewed = authority.issue_until(&["shop.example"], ends);
    let both = [&*renewed.cert, &*renewed.key].concat();
    fs::write(at("new"), both).expect("it can be written");
    let config = fs::read_to_string(usher.config()).expect("it is there");
    let config = config.replace("shop.crt", "new").replace("shop.key", "new");
    fs::write(usher.config(), config).expect("it can be written");
    usher.says(&format!("{warned}ends in 2d")).await;
    // Half of one changes nothing, and is said.
    fs::write(at("new"), &renewed.cert[..100]).expect("it can be written");
    usher.says(" ERROR not reloaded: ").await;
    let refused = format!("new: {BROKEN}");
    usher.says(&refused).await;
    let after = usher.samples().await;
    assert!(after.get("usher_config_reloads_total{result=\"refused\"}") >= 1.0);
}

/// What is said of half a file.
const BROKEN: &str = "a certificate in it is cut or broken";
