//! Keys that are published at a URL.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{
        authority::Authority,
        binary::{Binary, lives, said},
        client::Client,
        origin::{Asked, Closed, Origin, PATIENCE, ok},
        usher::Usher,
    },
    tokens::{asked, bearer, claims, started},
};

const AUDIENCES: &str = "  - { name: vip, pool: rails, match: [{ user: 42 }] }\n";

const KEYS: &str = "usher_jwks_keys";

/// A key under a name.
struct Signer(&'static str, Ed25519KeyPair);

/// An issuer whose keys and manners can be changed, and that counts who asks.
struct Issuer {
    url: String,
    says: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

// === impl Signer ===

impl Signer {
    fn new(id: &'static str) -> Self {
        Self(id, Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.1.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.0 })
    }

    fn token(&self, user: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(&json!({ "alg": "EdDSA", "kid": self.0 }));
        let signed = format!("{header}.{}", part(&claims(user, &json!({}))));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.1.sign(signed.as_bytes())))
    }

    fn asks(&self) -> String {
        bearer(&self.token("42"))
    }
}

// === impl Issuer ===

impl Issuer {
    fn at(origin: Origin, signers: &[&Signer]) -> Self {
        let issuer = Self {
            url: format!("http://{}/keys?tenant=7", origin.endpoint()),
            says: Arc::new(Mutex::new(set(signers))),
            asked: Arc::default(),
        };
        let (says, count) = (issuer.says.clone(), issuer.asked.clone());
        origin.serve(move |asked: &Asked| {
            assert_eq!(asked.line, "GET /keys?tenant=7 HTTP/1.1");
            count.fetch_add(1, Ordering::SeqCst);
            says.lock().clone()
        });
        issuer
    }

    async fn start(signers: &[&Signer]) -> Self {
        Self::at(Origin::start().await, signers)
    }

    fn says(&self, answer: impl Into<Vec<u8>>) {
        *self.says.lock() = answer.into();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn source(&self) -> String {
        source(&self.url, "")
    }

    fn metric(&self, name: &str, more: &str) -> String {
        metric(&self.url, name, more)
    }
}

fn metric(url: &str, name: &str, more: &str) -> String {
    let url = url.split('?').next().unwrap();
    format!("{name}{{source=\"jwt\",url=\"{url}\"{more}}}")
}

fn source(url: &str, more: &str) -> String {
    format!("identity: [{{ jwt: {{ audience: shop, keys: [{{ jwks: '{url}'{more} }}] }} }}]\n")
}

/// A JWK set as an answer.
fn set(signers: &[&Signer]) -> Vec<u8> {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    ok(&json!({ "keys": keys }).to_string())
}

async fn status(usher: &Usher) -> Value {
    let mut operator = Client::plain(usher.addresses.control.unwrap()).await;
    operator.send("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    serde_json::from_str(operator.answer().await.text()).unwrap()
}

/// Asks until `audience` is what comes; the house looks at unknown keys once a second.
async fn becomes(client: &mut Client, fields: &str, audience: &str) {
    let asked = async { while asked(client, "/", fields).await != audience {} };
    tokio::time::timeout(PATIENCE, asked).await.expect("in time");
}

#[tokio::test]
async fn a_key_that_is_added_is_found_by_its_name_and_one_that_is_taken_back_proves_nothing() {
    let (old, new, other) = (Signer::new("old"), Signer::new("new"), Signer::new("other"));
    let issuer = Issuer::start(&[&old]).await;
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = started(directory.path(), &issuer.source(), AUDIENCES).await;
    // Whoever is ready has the keys: the first request already is somebody's.
    assert_eq!(asked(&mut client, "/", &old.asks()).await, "vip");
    assert_eq!(asked(&mut client, "/", &bearer(&old.token("7"))).await, "everyone");
    issuer.says(set(&[&new]));
    assert_eq!(asked(&mut client, "/", &new.asks()).await, "everyone");
    becomes(&mut client, &new.asks(), "vip").await;
    assert_eq!(asked(&mut client, "/", &old.asks()).await, "everyone", "though it was remembered");
    // Whoever makes up names of keys cannot make usher ask again within the minute.
    for _ in 0..300 {
        assert_eq!(asked(&mut client, "/", &other.asks()).await, "everyone");
    }
    assert_eq!(usher.samples().get(&issuer.metric(KEYS, "")), 1.0);
    assert_eq!(issuer.asked(), 2, "at the start, and for the key that was added");
    let fetched = issuer.metric("usher_jwks_fetches_total", ",result=\"changed\"");
    let status = status(&usher).await;
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.get(&fetched), 2.0);
    let view = &status["issuers"][0];
    assert_eq!((view["state"].as_str(), view["keys"].as_u64()), (Some("fetched"), Some(1)));
    assert_eq!(view["sources"], json!(["jwt"]));
    assert!(!view["url"].as_str().unwrap().contains("tenant"), "{view}");
}

#[tokio::test]
async fn an_issuer_that_is_away_stops_nothing_and_its_tokens_are_nobodys_until_it_comes() {
    let (signer, closed) = (Signer::new("a"), Closed::bind());
    let url = format!("http://{}/keys?tenant=7", closed.endpoint());
    let directory = tempfile::tempdir().unwrap();
    let identity = source(&url, "").replace("audience: shop", "audience: shop, invalid: refuse");
    let (usher, mut client) = started(directory.path(), &identity, AUDIENCES).await;
    assert_eq!(asked(&mut client, "/", &signer.asks()).await, "everyone");
    let unknown = "usher_identities_total{source=\"jwt\",result=\"no_keys\"}";
    usher.reaches(unknown, 1.0).await;
    assert_eq!(usher.samples().get(&metric(&url, KEYS, "")), 0.0);
    let told = status(&usher).await;
    assert_eq!(told["issuers"][0]["state"], "unknown");
    let problems = told["problems"].to_string();
    assert!(problems.contains("cannot be fetched since") && problems.contains("refused"));
    let issuer = Issuer::at(closed.open(), &[&signer]);
    usher.reaches(&issuer.metric(KEYS, ""), 1.0).await;
    assert_eq!(asked(&mut client, "/", &signer.asks()).await, "vip");
    let told = status(&usher).await;
    assert!(!told["problems"].to_string().contains("fetched"), "{told}");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn answers_that_hold_no_keys_are_told_and_lead_nowhere() {
    let signer = Signer::new("a");
    let lured = Issuer::start(&[&signer]).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", lured.url);
    let large = ok(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 << 10)));
    for (answer, told) in [
        (redirect.into_bytes(), "where usher does not go"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "it answers 404"),
        (large, "larger than 256 KiB"),
        (ok("<html></html>"), "no JWK set"),
        (ok("{\"keys\":[]}"), "no key in it that could be used"),
        (ok("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"), "no key in it that could be used"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), "it does not answer as HTTP says"),
    ] {
        let issuer = Issuer::start(&[]).await;
        issuer.says(answer);
        let directory = tempfile::tempdir().unwrap();
        let (usher, mut client) = started(directory.path(), &issuer.source(), AUDIENCES).await;
        assert_eq!(asked(&mut client, "/", &signer.asks()).await, "everyone");
        usher_says(&usher, told).await;
        drop(client);
        usher.stop().await;
    }
    assert_eq!(lured.asked(), 0);
}

async fn usher_says(usher: &Usher, told: &str) {
    let says = async {
        loop {
            let view = status(usher).await["issuers"][0].clone();
            match view["trouble"].as_str() {
                Some(trouble) => return assert!(trouble.contains(told), "{trouble}: {told}"),
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, says).await.expect("it is told in time");
}

#[tokio::test]
async fn keys_outlive_a_reload_that_changes_other_things() {
    let signer = Signer::new("a");
    let issuer = Issuer::start(&[&signer]).await;
    let directory = tempfile::tempdir().unwrap();
    let (usher, mut client) = started(directory.path(), &issuer.source(), AUDIENCES).await;
    assert_eq!(asked(&mut client, "/", &signer.asks()).await, "vip");
    issuer.says(*b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    let path = directory.path().join("usher.yaml");
    let before = std::fs::read_to_string(&path).unwrap();
    // Another source, another audience of tokens, another age: the same place.
    let after = before
        .replace("identity: [{", "identity: [{ cookie: { keys: [{ pem: key.pem }] } }, {")
        .replace("keys: [{ jwks", "keys: [{ refresh: 2h, jwks");
    write_key(directory.path());
    std::fs::write(&path, after).unwrap();
    usher.reaches("usher_config_generation", 2.0).await;
    assert_eq!(asked(&mut client, "/", &signer.asks()).await, "vip");
    assert_eq!(issuer.asked(), 1, "it was asked for nothing");
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn keys_outlive_the_process_that_fetched_them() {
    let signer = Signer::new("a");
    let issuer = Issuer::start(&[&signer]).await;
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|asked| ok(asked.field("x-audience").unwrap()));
    let text = format!(
        "access_log: off\nworkers: 1\ndrain: {{ grace: 0s }}\n{}\
         audiences:\n{AUDIENCES}  - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n",
        issuer.source()
    );
    let usher = Binary::start(&text).await;
    let vip = async |usher: &Binary| {
        let mut client = Client::connect(usher.clients).await;
        assert_eq!(asked(&mut client, "/", &signer.asks()).await, "vip");
    };
    vip(&usher).await;
    issuer.says(*b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    // The issuer answers on this thread meanwhile.
    let upgraded = tokio::task::spawn_blocking(move || (usher.upgrade(), usher));
    let (heir, mut usher) = upgraded.await.unwrap();
    let heir = heir.expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert!(issuer.asked() > 1, "the new process has asked for itself");
    vip(&usher).await;
    kill_process(heir, Signal::TERM).expect("it runs");
    gone(heir).await;
}

async fn gone(pid: Pid) {
    let gone = async {
        while lives(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it ends in time");
}

fn write_key(directory: &Path) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(directory.join("key.pem"), key.public_key_pem()).unwrap();
}

/// Answers over TLS what `says` says, for ever; where it is.
async fn encrypted(authority: &Authority, says: Vec<u8>) -> u16 {
    let issued = authority.issue(&["localhost"]);
    let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shaken = tokio_rustls::TlsAcceptor::from(config.clone()).accept(stream).await;
            let Ok(mut stream) = shaken else { continue };
            let mut head = vec![0; 4096];
            if stream.read(&mut head).await.is_ok() {
                // Whoever asked may have gone.
                let _ = stream.write_all(&says).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

#[tokio::test]
async fn over_tls_only_those_are_believed_whose_certificate_is_signed() {
    let (signer, authority) = (Signer::new("a"), Authority::new("who signs issuers"));
    let port = encrypted(&authority, set(&[&signer])).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("roots.pem"), authority.root()).unwrap();
    let other = Authority::new("somebody else").root();
    std::fs::write(directory.path().join("others.pem"), other).unwrap();
    for (host, roots, audience, told) in [
        ("localhost", "roots.pem", "vip", ""),
        ("localhost", "others.pem", "everyone", "`roots` has not signed its certificate"),
        ("127.0.0.1", "roots.pem", "everyone", "not valid for name"),
    ] {
        let url = format!("https://{host}:{port}/keys");
        let identity = source(&url, &format!(", roots: {roots}"));
        let (usher, mut client) = started(directory.path(), &identity, AUDIENCES).await;
        assert_eq!(asked(&mut client, "/", &signer.asks()).await, audience, "{host} {roots}");
        if !told.is_empty() {
            usher_says(&usher, told).await;
        }
        drop(client);
        usher.stop().await;
    }
}

#[test]
fn commands_fetch_nothing_and_say_so() {
    let (signer, nobody, directory) =
        (Signer::new("a"), Closed::bind(), tempfile::tempdir().unwrap());
    let url = format!("http://{}/keys", nobody.endpoint());
    let path = directory.path().join("usher.yaml");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n{}\
         audiences:\n{AUDIENCES}  - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [127.0.0.1:1], capacity: 5 }} }}\n",
        source(&format!("{url}?tenant=7"), "")
    );
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let checked = said(&["check", "--strict", "--config", path]);
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("note: the keys at {url} were not fetched")), "{told}");
    let token = format!("Authorization: Bearer {}", signer.token("42"));
    let explained = said(&["explain", "--config", path, "GET", "/", "-H", &token]);
    let told = String::from_utf8(explained.stdout).unwrap();
    let why = format!(
        "no_keys: It cannot be verified from the file: a running usher has the keys \
                       of {url}"
    );
    assert!(told.starts_with("audience: everyone") && told.contains(&why), "{told}");
}
