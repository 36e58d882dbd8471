//! What an issuer learns, and what is verified with it. No time passes here.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};

use super::*;
use crate::{
    identity::{
        Cache, Evidence, Flaw, Identities, Invalid, Keys, Kind, Moment, Place, Source, Terms,
        Tokens,
    },
    name::Name,
};

const URL: &str = "https://issuer.example/keys?tenant=secret";

/// An issuer, whoever verifies with its keys, and what a worker remembers of that.
struct Bench {
    identities: Identities,
    issuer: Arc<Issuer>,
    cache: Cache,
}

/// A key under a name, and tokens of it.
struct Signer(&'static str, Ed25519KeyPair);

impl Bench {
    fn new(invalid: Invalid) -> Self {
        let spec = spec(&[]);
        let keys = Keys::new(Vec::new()).with_issuers(vec![spec.clone()]);
        let terms = Terms { user: "sub".into(), endless: true, ..Terms::default() };
        let tokens = Tokens::new(vec![Place::Header(AUTHORIZATION)], keys, terms);
        let source = Source::new(Name::parse("jwt").unwrap(), invalid, Kind::Tokens(tokens));
        let identities = Identities::new(vec![source], [0; 32]);
        let issuer = Arc::new(Issuer::new(spec, Instant::now()));
        identities.bind(|_| issuer.clone());
        Self { identities, issuer, cache: Cache::default() }
    }

    fn publish(&self, signers: &[&Signer]) -> Learned {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        learn(&self.issuer, Ok(json!({ "keys": keys }).to_string()))
    }

    /// Who a token speaks of, or why of nobody; and whether a request with it is refused.
    fn asked(&mut self, token: &str) -> (Result<String, Flaw>, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        let evidence =
            Evidence { headers: &headers, query: None, trusted: false, certificate: None };
        let mut flaw = None;
        let found =
            self.identities.find(&evidence, &mut self.cache, Moment::now(), |_, outcome| {
                flaw = outcome.err();
            });
        let user = found.identity.map(|identity| identity.subject.to_string());
        (user.ok_or_else(|| flaw.expect("there is a token")), found.refused)
    }
}

impl Signer {
    fn new(id: &'static str) -> Self {
        Self(id, Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.1.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.0, "use": "sig" })
    }

    fn token(&self, user: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "EdDSA", "kid": self.0 }));
        let signed = format!("{header}.{}", part(json!({ "sub": user })));
        let signature = URL_SAFE_NO_PAD.encode(self.1.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn spec(algorithms: &[Algorithm]) -> IssuerSpec {
    let (url, refresh) = (URL.parse().unwrap(), Duration::from_secs(3600));
    IssuerSpec { url, refresh, roots: None, algorithms: algorithms.to_vec() }
}

fn learn(issuer: &Issuer, text: Result<String, &str>) -> Learned {
    let answer = text.map(|text| Answer { text, fresh: None }).map_err(str::to_owned);
    let now = Instant::now();
    issuer.begin(now);
    issuer.learn(answer, (now, SystemTime::now()), 0.0)
}

#[test]
fn until_keys_have_come_nobody_is_proved_and_nobody_is_refused() {
    for invalid in [Invalid::Anonymous, Invalid::Refuse] {
        let (mut bench, signer) = (Bench::new(invalid), Signer::new("a"));
        let token = signer.token("42");
        assert_eq!(bench.asked(&token), (Err(Flaw::NoKeys), false));
        assert_eq!(learn(&bench.issuer, Err("away")), Learned::Failed(Some("away".into())));
        assert_eq!(learn(&bench.issuer, Err("gone")), Learned::Failed(None), "it is told once");
        assert_eq!(bench.asked(&token), (Err(Flaw::NoKeys), false));
        assert_eq!(bench.publish(&[&signer]), Learned::Changed(1, Vec::new()));
        assert_eq!(bench.asked(&token), (Ok("42".into()), false));
        let refuses = invalid == Invalid::Refuse;
        assert_eq!(bench.asked(&Signer::new("a").token("42")), (Err(Flaw::BadSignature), refuses));
    }
}

#[test]
fn what_was_proved_with_a_key_is_not_remembered_beyond_it() {
    let (mut bench, old, new) =
        (Bench::new(Invalid::Anonymous), Signer::new("a"), Signer::new("b"));
    bench.publish(&[&old]);
    let token = old.token("42");
    for _ in 0..2 {
        assert_eq!(bench.asked(&token).0, Ok("42".into()));
    }
    bench.publish(&[&old, &new]);
    assert_eq!(bench.asked(&token).0, Ok("42".into()));
    bench.publish(&[&new]);
    assert_eq!(bench.asked(&token).0, Err(Flaw::UnknownKey), "its key was taken back");
    // A bad signature is remembered as well, and no longer than the keys that it is bad for.
    let impostor = Signer::new("b");
    assert_eq!(bench.asked(&impostor.token("42")).0, Err(Flaw::BadSignature));
    bench.publish(&[&impostor]);
    assert_eq!(bench.asked(&impostor.token("42")).0, Ok("42".into()));
}

#[test]
fn the_last_good_keys_are_kept_whatever_comes() {
    let (mut bench, signer) = (Bench::new(Invalid::Anonymous), Signer::new("a"));
    bench.publish(&[&signer]);
    let (token, edition) = (signer.token("42"), bench.issuer.edition());
    let none = json!({ "keys": [] }).to_string();
    let many = json!({ "keys": vec![signer.jwk(); 65] }).to_string();
    let secret = json!({ "keys": [{ "kty": "oct", "k": "A".repeat(64), "kid": "a" }] }).to_string();
    for text in [Err("away"), Ok("<html>".into()), Ok(none), Ok(many), Ok(secret), Ok("{}".into())]
    {
        assert!(matches!(learn(&bench.issuer, text), Learned::Failed(_)));
        assert_eq!(bench.asked(&token).0, Ok("42".into()));
    }
    let report = bench.issuer.report();
    assert_eq!((report.keys, report.trouble.is_some()), (Some(1), true));
    assert_eq!(report.url, "https://issuer.example/keys", "a query is nobody's business");
    assert_eq!(
        bench.publish(&[&signer]),
        Learned::Unchanged(true),
        "and it is told that it is well"
    );
    assert_eq!(bench.publish(&[&signer]), Learned::Unchanged(false));
    assert_eq!(bench.issuer.edition(), edition, "what workers remember is kept");
    let counts = bench.issuer.report().fetches;
    assert_eq!(counts, [("changed", 1), ("unchanged", 2), ("failed", 6)]);
}

#[test]
fn keys_that_cannot_be_used_are_told_and_spoil_no_other() {
    let (bench, signer) = (Bench::new(Invalid::Anonymous), Signer::new("a"));
    let rsa = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xd7; bytes]);
    let keys = json!([
        signer.jwk(),
        { "kty": "oct", "k": "A".repeat(64), "kid": "secret" },
        { "kty": "OKP", "crv": "Ed25519", "x": rsa(32), "d": rsa(32), "kid": "private" },
        { "kty": "OKP", "crv": "Ed25519", "x": rsa(31), "kid": "short" },
        { "kty": "OKP", "crv": "X25519", "x": rsa(32), "kid": "exchange" },
        { "kty": "EC", "crv": "secp256k1", "x": rsa(32), "y": rsa(32), "kid": "bitcoin" },
        { "kty": "EC", "crv": "P-256", "x": rsa(32), "y": rsa(32), "kid": "off the curve\n" },
        { "kty": "RSA", "n": rsa(128), "e": "AQAB", "kid": "1024" },
        { "kty": "RSA", "n": rsa(256), "e": "AQAB", "kid": "encrypts", "use": "enc" },
        { "kty": "RSA", "n": rsa(256), "e": "AQAB", "kid": "signs", "key_ops": ["sign"] },
        { "kty": "RSA", "n": rsa(256), "e": "AQAB", "kid": "odd", "alg": "RSA-OAEP" },
        "no key",
    ]);
    let text = json!({ "keys": keys }).to_string();
    let Learned::Changed(1, passed_over) = learn(&bench.issuer, Ok(text)) else {
        panic!("one is fine")
    };
    let told: Vec<(Option<&str>, KeyError)> =
        passed_over.iter().map(|it| (it.id.as_deref(), it.why)).collect();
    assert_eq!(
        told,
        [
            (Some("secret"), KeyError::PublishedSecret),
            (Some("private"), KeyError::PublishedPrivate),
            (Some("short"), KeyError::Unusable),
            (Some("exchange"), KeyError::Unusable),
            (Some("bitcoin"), KeyError::Unusable),
            (Some("offthecurve"), KeyError::Unusable),
            (Some("1024"), KeyError::ShortModulus),
            (Some("encrypts"), KeyError::OtherUse),
            (Some("signs"), KeyError::OtherUse),
            (Some("odd"), KeyError::NoAlgorithm),
            (None, KeyError::Unusable),
        ]
    );
}

#[test]
fn a_token_with_an_unknown_key_has_it_asked_for_and_others_do_not() {
    let (mut bench, signer) = (Bench::new(Invalid::Anonymous), Signer::new("a"));
    bench.publish(&[&signer]);
    let now = Instant::now();
    let waits = |bench: &Bench| !bench.issuer.due(now).is_zero();
    let _ = bench.asked(&Signer::new("a").token("42"));
    let _ = bench.asked("no.to.ken");
    assert!(waits(&bench), "a bad signature says nothing about keys");
    let _ = bench.asked(&Signer::new("b").token("42"));
    assert!(!waits(&bench));
    bench.publish(&[&signer]);
    let _ = bench.asked(&Signer::new("c").token("42"));
    assert!(waits(&bench), "not again within the minute");
}

#[test]
fn what_was_fetched_goes_on_under_another_spec_and_in_another_process() {
    let (bench, signer) = (Bench::new(Invalid::Anonymous), Signer::new("a"));
    bench.publish(&[&signer]);
    let now = Instant::now();
    let keys = |issuer: &Issuer| issuer.report().keys;
    let sooner = IssuerSpec { refresh: Duration::from_secs(60), ..spec(&[]) };
    let succeeding = Issuer::succeeding(sooner, &bench.issuer, now);
    assert_eq!(keys(&succeeding), Some(1));
    assert!(succeeding.due(now) > Duration::from_secs(50));
    let strict = Issuer::succeeding(spec(&[Algorithm::Es256]), &bench.issuer, now);
    assert_eq!(keys(&strict), None, "none of them is for what is allowed now");
    let elsewhere = IssuerSpec { url: "https://other.example/".parse().unwrap(), ..spec(&[]) };
    assert_eq!(keys(&Issuer::succeeding(elsewhere, &bench.issuer, now)), None);

    let kept = bench.issuer.keep().expect("there is something to keep");
    let text = serde_json::to_string(&kept).unwrap();
    let heir = Issuer::new(spec(&[]), now);
    heir.take_over(serde_json::from_str(&text).unwrap(), now);
    assert_eq!(keys(&heir), Some(1));
    let others = Issuer::new(spec(&[]), now);
    others.take_over(KeptKeys { trust: "other roots".into(), ..kept.clone() }, now);
    assert_eq!(keys(&others), None, "keys of whoever was believed then");
    others.take_over(KeptKeys { text: "<html>".into(), ..kept.clone() }, now);
    assert_eq!(keys(&others), None);
    // What was fetched here meanwhile is newer.
    let edition = bench.issuer.edition();
    bench.issuer.take_over(KeptKeys { fetched: kept.fetched - 10, ..kept }, now);
    assert_eq!(bench.issuer.edition(), edition);
}
