//! Which algorithms a token may name.
//!
//! Transport: none; there is no client.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};
use usher::{
    classify::Identity,
    identity::{
        Algorithm, Cache, Evidence, Identities, Invalid, Key, Keys, Kind, Moment, Place, Source,
        Terms, Tokens, key_set,
    },
    name::Name,
};

use crate::tokens::{Sign, claims, token};

/// A source of tokens that were signed with one of `keys`.
fn source(keys: Vec<Key>) -> Source {
    let terms = Terms { user: "sub".into(), audiences: vec!["shop".into()], ..Terms::default() };
    let tokens = Tokens::new(vec![Place::Header(AUTHORIZATION)], Keys::new(keys), terms);
    Source::new(Name::parse("jwt").unwrap(), Invalid::Anonymous, Kind::Tokens(tokens))
}

fn proved(identities: &Identities, cache: &mut Cache, token: &str) -> Option<Identity> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    let evidence = Evidence { headers: &headers, query: None, trusted: false, certificate: None };
    let found = identities.find(&evidence, cache, Moment::now(), |_, _| {});
    found.identity.map(|identity| (*identity).clone())
}

/// A key on P-256: its signature, and its public half in a JWK set.
fn p256() -> (Sign, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
    let sign =
        move |signed: &[u8]| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec();
    (Box::new(sign), key)
}

#[test]
fn the_key_decides_which_algorithm_may_be_named() {
    let user = claims("42", &json!({}));
    let (sign, key) = p256();
    let bytes = json!({ "keys": [key] }).to_string();
    let identities = |allowed: &[Algorithm]| {
        let keys = key_set(bytes.as_bytes(), allowed).unwrap();
        Identities::new(vec![source(keys)], [0; 32])
    };
    let usual = identities(&[]);
    let mut cache = Cache::default();
    assert!(proved(&usual, &mut cache, &token("ES256", &user, &sign)).is_some());
    // The public key is known to all: as a secret it must be worth nothing.
    let publics: [&[u8]; 2] = [bytes.as_bytes(), &[4; 65]];
    for public in publics {
        let hmac: Sign = Box::new({
            let public = public.to_vec();
            move |signed| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
                aws_lc_rs::hmac::sign(&key, signed).as_ref().to_vec()
            }
        });
        for algorithm in ["HS256", "ES256"] {
            assert!(proved(&usual, &mut cache, &token(algorithm, &user, &hmac)).is_none());
        }
    }
    for algorithm in ["none", "None", "", "es256", "ES384", "RS256", "EdDSA", "HS256"] {
        let signed = token(algorithm, &user, &sign);
        assert!(proved(&usual, &mut cache, &signed).is_none(), "{algorithm}");
        let unsigned = token(algorithm, &user, |_| Vec::new());
        assert!(proved(&usual, &mut cache, &unsigned).is_none(), "{algorithm} unsigned");
    }
    assert!(key_set(bytes.as_bytes(), &[Algorithm::Rs256]).is_err(), "nothing is left to verify");
}
