//! Who asks, by proofs that others made: PyJWT, the Rails that is installed, and the concern that
//! `docs/rails.md` shows.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

#[path = "identity/cookies.rs"]
mod cookies;
#[path = "support/mod.rs"]
mod support;
#[path = "identity/tokens.rs"]
#[allow(dead_code, reason = "this program takes its tokens from elsewhere")]
mod tokens;

use cookies::Minted;
use tokens::{asked, bearer, started};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n  \
    - { name: others, pool: rails, match: [{ user: '*' }] }\n";

/// What `program` writes to its standard output.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("tests/run installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The source of tokens that `name` stands for.
fn source(name: &str) -> String {
    let all = "algorithms: [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
               ES384, ES512, EdDSA], ";
    let (key, more) = match name.strip_suffix("_all") {
        Some(key) => (key, all),
        None => (name, ""),
    };
    let (key, more) = match key {
        "secret" => ("{ secret_file: secret }".to_owned(), more),
        "set" => ("{ jwks: jwks.json }".to_owned(), more),
        "strict" => ("{ pem: ed25519.pem }".to_owned(), "issuer: https://id.example, "),
        key => (format!("{{ pem: {key}.pem }}"), more),
    };
    format!("identity: [{{ jwt: {{ {more}keys: [{key}], audience: shop }} }}]\n")
}

#[tokio::test]
async fn tokens_that_another_library_made_say_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let minted = output(PYTHON, &["tests/identities/mint.py", folder]);
    // usher's tests write a secret of their own into the folder; it is this one's beginning.
    let secret = fs::read(directory.path().join("secret")).unwrap();
    let rows: Vec<Minted> =
        minted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut sources: Vec<&str> = rows.iter().map(|row| row.variant.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    assert!(rows.len() > 60 && sources.len() > 12, "{} of {sources:?}", rows.len());
    for name in sources {
        let identity = source(name).replace("secret_file: secret", "secret_file: shared");
        fs::write(directory.path().join("shared"), &secret).unwrap();
        let (usher, mut client) = started(directory.path(), &identity, AUDIENCES).await;
        for row in rows.iter().filter(|row| row.variant == name) {
            let audience = match row.user.as_deref() {
                Some("42") => "vip",
                Some(_) => "others",
                None => "everyone",
            };
            let said = asked(&mut client, "/", &bearer(&row.value)).await;
            assert_eq!(said, audience, "{name}: {}", row.label);
        }
        drop(client);
        usher.stop().await;
    }
}

#[tokio::test]
async fn cookies_of_the_rails_that_is_installed_say_who_asks() {
    let version = cookies::check(&output("ruby", &["tests/identities/mint.rb"])).await;
    assert!(version.starts_with("6.1."), "{version}");
}

/// The concern out of `docs/rails.md`, with a key of `kind`, and a cookie that it makes.
fn concern(directory: &Path, kind: &[&str]) -> String {
    let (key, public) = (directory.join("identity.key"), directory.join("identity.pem"));
    let [key, public] = [&key, &public].map(|path| path.to_str().unwrap());
    output("openssl", &[&["genpkey", "-out", key], kind].concat());
    output("openssl", &["pkey", "-in", key, "-pubout", "-out", public]);
    let docs = fs::read_to_string("docs/rails.md").unwrap();
    let from = docs.find("module UsherIdentity").expect("the docs show it");
    let concern = &docs[from..from + docs[from..].find("```").unwrap()];
    let script = directory.join("concern.rb");
    let text = format!(
        "require 'openssl'; require 'base64'; require 'json'; require 'active_support/all'\n\
         ENV['USHER_IDENTITY_KEY'] = '{key}'\n{concern}\n\
         include UsherIdentity\n\
         def cookies = @cookies ||= {{}}\n\
         def request = Struct.new(:ssl?).new(true)\n\
         remember_for_usher(Struct.new(:id).new(42), roles: ['vip'])\n\
         print cookies[:_usher_identity][:value]\n"
    );
    fs::write(&script, text).unwrap();
    output("ruby", &[script.to_str().unwrap()])
}

#[tokio::test]
async fn the_concern_in_the_docs_makes_cookies_that_say_who_asks() {
    for kind in [
        &["-algorithm", "ed25519"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let cookie = concern(directory.path(), kind);
        let identity = "identity: [{ cookie: { keys: [{ pem: identity.pem }] } }]\n";
        let audiences = "  - { name: vip, pool: rails, match: [{ user: 42, role: vip }] }\n";
        let (usher, mut client) = started(directory.path(), identity, audiences).await;
        let field = |cookie: &str| format!("Cookie: _usher_identity={cookie}\r\n");
        assert_eq!(asked(&mut client, "/", &field(&cookie)).await, "vip", "{kind:?}");
        assert_eq!(asked(&mut client, "/", &field(&cookie[1..])).await, "everyone", "{kind:?}");
        drop(client);
        usher.stop().await;
    }
}
