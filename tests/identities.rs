//! Who asks, by proofs that others made: PyJWT, the Rails that is installed, and the concern that
//! `docs/rails.md` shows.
//!
//! Transport: HTTP/1.1 in plain text; this is about who made a proof. `identity` has all of them.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

#[path = "identity/cookies.rs"]
mod cookies;
#[path = "identities/operations.rs"]
mod operations;
#[path = "support/puma.rs"]
mod puma;
#[path = "support/mod.rs"]
mod support;
#[path = "identity/tokens.rs"]
#[allow(dead_code, reason = "this program takes its tokens from elsewhere")]
mod tokens;

use cookies::Minted;
use puma::{Plan, Puma};
use support::{client::Client, origin::Origin, usher::Usher};
use tokens::{asked, bearer, started, text};

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
            if row.user.is_some() {
                for token in tampered(&row.value) {
                    let said = asked(&mut client, "/", &bearer(&token)).await;
                    assert_eq!(said, "everyone", "{name}: {token} of {}", row.value);
                }
            }
        }
        drop(client);
        usher.stop().await;
    }
}

/// The same token with a letter of each of its parts changed, a part twice, too few or too many.
fn tampered(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let mut all = vec![format!("{token}A"), format!("{token}="), format!("{token}.{}", parts[2])];
    all.push(format!("{}.{}.", parts[0], parts[1]));
    all.push(format!("{}.{}.{}", parts[0], parts[0], parts[2]));
    let mut at = 0;
    for part in parts {
        let mut bytes = token.as_bytes().to_vec();
        let middle = at + part.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        all.push(String::from_utf8(bytes).unwrap());
        at += part.len() + 1;
    }
    all
}

#[tokio::test]
async fn cookies_of_the_rails_that_is_installed_say_who_asks() {
    let version = cookies::check(&output("ruby", &["tests/identities/mint.rb"])).await;
    assert!(version.starts_with("6.1."), "{version}");
}

/// Makes a key of `kind` in `directory`, with its public half beside it; where it is.
fn make_key(directory: &Path, kind: &[&str]) -> String {
    let (key, public) = (directory.join("identity.key"), directory.join("identity.pem"));
    let [key, public] = [&key, &public].map(|path| path.to_str().unwrap());
    output("openssl", &[&["genpkey", "-out", key], kind].concat());
    output("openssl", &["pkey", "-in", key, "-pubout", "-out", public]);
    key.to_owned()
}

/// The concern out of `docs/rails.md`, with a key of `kind`, and a cookie that it makes.
fn concern(directory: &Path, kind: &[&str]) -> String {
    let key = make_key(directory, kind);
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

/// What the application was asked at `/session` and says of it, on a connection of its own.
struct Session(Client);

impl Session {
    /// Logs in, and returns the cookies that came of it, by name.
    async fn log_in(&mut self, user: &str) -> Vec<(String, String)> {
        self.0
            .send(format!(
                "POST /session?user={user}&roles=vip HTTP/1.1\r\nHost: shop.example\r\n\
                 Content-Length: 0\r\n\r\n"
            ))
            .await;
        let answer = self.0.answer().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let set = answer.fields.iter().filter(|(name, _)| name == "set-cookie");
        let pairs = set.map(|(_, value)| value.split(';').next().unwrap().split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// For whom a request with `cookies` is taken, and what Rails reads of usher's cookie.
    async fn asks(&mut self, cookies: &str) -> (String, Option<String>) {
        let head = "GET /session HTTP/1.1\r\nHost: shop.example\r\n";
        self.0.send(format!("{head}{cookies}\r\n")).await;
        let answer = self.0.answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        (text("audience").expect("usher says it"), text("usher_identity"))
    }
}

/// An usher in front of the application, which is logged in to with a key of `kind`.
async fn logged_in(directory: &Path, kind: &[&str], identity: &str) -> (Puma, Usher, Session) {
    let base = "a1b2c3d4".repeat(16);
    fs::write(directory.join("base"), &base).unwrap();
    let plan = Plan::new("customer", 2, 0).env("USHER_IDENTITY_KEY", &make_key(directory, kind));
    let puma = plan.env("SECRET_KEY_BASE", &base).start();
    let origin = Origin::start().await;
    let text = text(directory, identity, LOGGED_IN, &origin);
    let path = directory.join("usher.yaml");
    fs::write(&path, text.replace(&origin.endpoint(), &puma.address)).unwrap();
    let usher = Usher::start_at(&path).await;
    let client = Client::connect(usher.address()).await;
    (puma, usher, Session(client))
}

const LOGGED_IN: &str = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n  \
    - { name: others, pool: rails, match: [{ user: '*' }] }\n";

#[tokio::test]
async fn whoever_logs_in_to_the_application_is_known_from_then_on() {
    for kind in [
        &["-algorithm", "ed25519"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let identity = "identity: [{ cookie: { keys: [{ pem: identity.pem }] } }]\n";
        let (_puma, usher, mut session) = logged_in(directory.path(), kind, identity).await;
        assert_eq!(session.asks("").await, ("everyone".to_owned(), None));
        let mut cookies = Vec::new();
        for (user, audience) in [("42", "vip"), ("7", "others")] {
            let set = session.log_in(user).await;
            let own = set.iter().find(|(name, _)| name == "_usher_identity").expect("it is set");
            let (said, read) =
                session.asks(&format!("Cookie: _usher_identity={}\r\n", own.1)).await;
            assert_eq!((said.as_str(), read.as_deref()), (audience, Some(own.1.as_str())));
            cookies.push(own.1.clone());
        }
        // Sent twice, in every way: usher believes the one that Rails reads.
        let [vip, other] = [&cookies[0], &cookies[1]];
        for field in [
            format!("Cookie: _usher_identity={vip}; _usher_identity={other}\r\n"),
            format!("Cookie: _usher_identity={other}; a=b; _usher_identity={vip}\r\n"),
            format!("Cookie: a=b;_usher_identity={vip};_usher_identity=x\r\n"),
            format!("Cookie: _usher_identity=x; _usher_identity={vip}\r\n"),
            format!("Cookie: _usher_identity={vip}\r\nCookie: _usher_identity={other}\r\n"),
            format!("Cookie: _usher_identity={other}\r\nCookie: _usher_identity={vip}\r\n"),
            format!("Cookie: _usher_identity={}\r\n", vip.replace('.', "%2E")),
            format!("Cookie: _usher%5Fidentity={vip}\r\n"),
            format!("Cookie: _usher_identity=\"{vip}\"\r\n"),
            format!("Cookie: _usher_identity={vip}, _usher_identity={other}\r\n"),
            format!("Cookie: _USHER_IDENTITY={vip}\r\n"),
        ] {
            let (said, read) = session.asks(&field).await;
            let expected = match read {
                Some(read) if read == *vip => "vip",
                Some(read) if read == *other => "others",
                Some(_) | None => "everyone",
            };
            assert_eq!(said, expected, "{field}");
        }
        drop(session);
        usher.stop().await;
    }
}

#[tokio::test]
async fn the_applications_session_says_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let cookie = "_shop_session";
    let identity = format!(
        "identity: [{{ rails_cookie: {{ cookie: {cookie}, user: user_id, \
         keys: [{{ secret_key_base_file: base }}] }} }}]\n"
    );
    let kind = ["-algorithm", "ed25519"];
    let (_puma, usher, mut session) = logged_in(directory.path(), &kind, &identity).await;
    for (user, audience) in [("42", "vip"), ("7", "others")] {
        let set = session.log_in(user).await;
        let names: Vec<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        let own = set.iter().find(|(name, _)| name == cookie);
        let (_, value) = own.unwrap_or_else(|| panic!("{names:?}"));
        let field = |value: &str| format!("Cookie: {cookie}={value}\r\n");
        assert_eq!(session.asks(&field(value)).await.0, audience);
        assert_eq!(session.asks(&field(&value[2..])).await.0, "everyone");
    }
    drop(session);
    usher.stop().await;
}
