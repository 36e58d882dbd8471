//! What it costs to know who asks: `cargo bench --bench identity`.
//!
//! `decide` is the decision alone; `remembered` is the same with a token that was seen before, from
//! the field to the user; `verified` is a token that nobody has seen. `table` looks users up.
//! `operation` is the decision with a rule about GraphQL operations, by where a request says its
//! own; `version` is what is read, counted and judged of an app's version. What all of it costs a
//! request within a whole usher is counted in instructions by `benches/instructions/run`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use divan::Bencher;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, USER_AGENT},
};
use serde_json::{Value, json};
use usher::{
    classify::{
        Choice, Classifier, Facts, Matcher, PathPattern, PathView, Product, RuleSpec, Table,
        TableBuilder, UserPattern, VersionSource, read_version,
    },
    identity::{
        Cache, Evidence, Found, Identities, Invalid, Key, Keys, Kind, Moment, Place, Source, Terms,
        Tokens, key_set,
    },
    name::Name,
    peer::Client,
    policy::{
        sticky::Place as Standing,
        versions::{Policy, Schedule, Step, Tally},
    },
};

#[path = "identity/asking.rs"]
mod asking;

use asking::Asking;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KINDS: [&str; 4] = ["HS256", "ES256", "EdDSA", "RS256"];
const LINES: usize = 1_000_000;

/// Where a request says its operation; `elsewhere` goes to a path that the rule does not concern.
const SAYING: [&str; 6] = ["elsewhere", "nothing", "field", "query", "persisted", "body"];

/// How an app's version is found, and what is made of it.
const VERSIONS: [&str; 4] = ["none", "field", "user_agent", "brownout"];

/// A request with a token, and what it takes to read it.
struct Asked {
    headers: HeaderMap,
    identities: Identities,
    classifier: Classifier,
}

fn main() {
    divan::main();
}

/// The decision alone, of a request whose token nobody looks at.
#[divan::bench]
fn decide(bencher: Bencher<'_, '_>) {
    let asked = Asked::new("ES256");
    bencher.bench_local(|| asked.decide(&Found::default()));
}

/// The decision with a token that was verified before.
#[divan::bench(args = KINDS)]
fn remembered(bencher: Bencher<'_, '_>, kind: &str) {
    let asked = Asked::new(kind);
    let mut cache = Cache::default();
    assert!(asked.find(&mut cache).identity.is_some());
    bencher.bench_local(|| {
        let found = asked.find(&mut cache);
        asked.decide(&found)
    });
}

/// The decision with a token that nobody has seen.
#[divan::bench(args = KINDS)]
fn verified(bencher: Bencher<'_, '_>, kind: &str) {
    let asked = Asked::new(kind);
    bencher.with_inputs(Cache::default).bench_local_refs(|cache| {
        let found = asked.find(cache);
        asked.decide(&found)
    });
}

/// Users in a table of a million lines, each another one.
#[divan::bench]
fn table(bencher: Bencher<'_, '_>) {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut builder = TableBuilder::default();
        (0..LINES).for_each(|id| builder.line(&id.to_string()).unwrap());
        builder.finish()
    });
    let mut random = fastrand::Rng::with_seed(7);
    let users: Vec<String> = (0..4096).map(|_| random.usize(0..2 * LINES).to_string()).collect();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 1) % users.len();
        table.find(black_box(&users[turn])).is_some()
    });
}

/// The decision with a rule about operations, from the head or the body to the audience.
#[divan::bench(args = SAYING)]
fn operation(bencher: Bencher<'_, '_>, said: &str) {
    let asking = Asking::new(said);
    let taken = said != "elsewhere" && said != "nothing";
    assert_eq!(asking.decide().map(|choice| choice.audience), Some(if taken { 0 } else { 1 }));
    bencher.bench_local(|| asking.decide());
}

/// The version of an app: read, counted and judged.
#[divan::bench(args = VERSIONS)]
fn version(bencher: Bencher<'_, '_>, found: &str) {
    let mut headers = phone();
    match found {
        "none" => {}
        "user_agent" => {
            let value = HeaderValue::from_static("Shop/5.1.9 (iPhone; iOS 17.4; Scale/3.00)");
            headers.insert(USER_AGENT, value);
        }
        _ => {
            headers.insert("x-app-version", HeaderValue::from_static("5.1.9"));
        }
    }
    let from = [
        VersionSource::Header(HeaderName::from_static("x-app-version")),
        VersionSource::UserAgent(Product::Named("Shop/".into())),
    ];
    let step = Step { at: Duration::ZERO, share: 0.25, until: None };
    let brownout = (found == "brownout").then(|| Schedule::new(vec![step]).unwrap());
    let version = |text: &str| usher::classify::Version::parse_exact(text).unwrap();
    let policy = Policy {
        min: Some(version("5.2")),
        warn_below: Some(version("5.6")),
        brownout,
        ..Policy::default()
    };
    let arrived = Instant::now();
    let tally = Tally::new(1, arrived, Duration::ZERO);
    bencher.bench_local(|| {
        let version = read_version(&from, black_box(&headers));
        let band = policy.band(version);
        let place = || Standing::of("versions/customer", black_box(b"9b2f4c1e-6f0a-4b57-9a2c"));
        let standing = policy.standing(band, place);
        tally.note(0, version, black_box(7), arrived);
        policy.refuses(standing, Duration::from_secs(1))
    });
}

// === impl Asked ===

impl Asked {
    fn new(kind: &str) -> Self {
        let (token, key) = minted(kind);
        let mut headers = phone();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.insert(AUTHORIZATION, bearer);
        let terms = Terms { user: "sub".into(), roles: Some("roles".into()), ..Terms::default() };
        let tokens = Tokens::new(vec![Place::Header(AUTHORIZATION)], Keys::new(vec![key]), terms);
        let name = Name::parse("jwt").unwrap();
        let source = Source::new(name, Invalid::Anonymous, Kind::Tokens(tokens));
        let user = UserPattern::parse("4711").unwrap();
        let path = PathPattern::parse("/admin/**").unwrap();
        let rule =
            |matcher| vec![RuleSpec { label: "".into(), line: 1, all: vec![matcher], not: vec![] }];
        let classifier = Classifier::new(&[
            rule(Matcher::Path(vec![path])),
            rule(Matcher::User(vec![user])),
            vec![],
        ]);
        Self { headers, identities: Identities::new(vec![source], [0; 32]), classifier }
    }

    fn find(&self, cache: &mut Cache) -> Found {
        let evidence = Evidence {
            headers: black_box(&self.headers),
            query: None,
            trusted: false,
            certificate: None,
        };
        self.identities.find(&evidence, cache, Moment::now(), |_, _| {})
    }

    fn decide(&self, found: &Found) -> Option<Choice> {
        let facts = Facts {
            method: &Method::GET,
            path: black_box("/orders/17"),
            query: None,
            host: "shop.example.com",
            headers: &self.headers,
            client: Client::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            subject: None,
            identity: found.identity.as_deref(),
            operation: None,
        };
        let path = PathView::of(facts.path).expect("a path that is served");
        self.classifier.classify(&facts, &path)
    }
}

/// What a phone sends with every request.
fn phone() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["accept", "accept-encoding", "accept-language", "user-agent", "cookie"] {
        headers.insert(name, HeaderValue::from_static("something that a browser sends"));
    }
    headers
}

/// A token as identity providers make them, and the key to it.
fn minted(kind: &str) -> (String, Key) {
    let of = |jwk: Value| {
        let set = json!({ "keys": [jwk] }).to_string();
        key_set(set.as_bytes(), &[]).unwrap().remove(0)
    };
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let random = SystemRandom::new();
    match kind {
        "HS256" => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
            let token = token(kind, |signed| hmac::sign(&key, signed).as_ref().to_vec());
            (token, Key::secret(SECRET.as_bytes(), &[]).unwrap())
        }
        "ES256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let point = pair.public_key().as_ref();
            let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
            let token = token(kind, |signed| pair.sign(&random, signed).unwrap().as_ref().to_vec());
            (token, of(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })))
        }
        "EdDSA" => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let x = b64(pair.public_key().as_ref());
            let token = token(kind, |signed| pair.sign(signed).as_ref().to_vec());
            (token, of(json!({ "kty": "OKP", "crv": "Ed25519", "x": x })))
        }
        _ => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let public = base64::engine::general_purpose::STANDARD.encode(public.as_ref());
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
            let token = token(kind, |signed| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
                signature
            });
            (token, Key::pem(pem.as_bytes(), &[]).unwrap())
        }
    }
}

fn token(kind: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let claims = json!({
        "iss": "https://id.example.com/", "sub": "4711", "aud": ["shop", "api"], "iat": 1764100000,
        "exp": Moment::now().0 + 3600, "scope": "openid profile email", "azp": "mobile-app",
        "roles": ["customer", "beta"], "jti": "3f2a91c0-8d3e-4c55-9d1b-2b6f0f7f3c11",
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": kind, "typ": "JWT", "kid": "2026-11" });
    let signed = format!("{}.{}", part(&header), part(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}
