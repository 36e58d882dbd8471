//! Nothing that was changed proves anything.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::json;
use usher::{
    classify::Identity,
    identity::{
        Algorithm, Cache, Evidence, Identities, Invalid, Key, Keys, Kind, Moment, Place, Source,
        Terms, Tokens, key_set,
    },
    name::Name,
};

use crate::tokens::{SECRET, Sign, claims, ed25519, of, p256, token};

/// How many changes are tried of each token.
const CHANGES: usize = 1000;

/// What tokens are made of, and some that they are not.
const ALPHABET: &[u8] = b"ABCabcxyz0189-_.=+/~";

/// Sources that know one key each.
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

fn changed(token: &str, random: &mut fastrand::Rng) -> String {
    let mut bytes = token.as_bytes().to_vec();
    for _ in 0..random.usize(1..4) {
        bytes.extend(bytes.is_empty().then_some(b'A'));
        let at = random.usize(0..bytes.len());
        let letter = ALPHABET[random.usize(0..ALPHABET.len())];
        match random.u8(0..6) {
            0 => bytes[at] = letter,
            1 => bytes.insert(at, letter),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at.max(1)),
            4 => {
                let other = random.usize(0..bytes.len());
                bytes.swap(at, other);
            }
            _ => bytes.rotate_left(at),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_thousand_changes_of_each_token_yield_no_identity() {
    let user = claims("42", &json!({}));
    let [ed, ec] = [ed25519(), p256()];
    let set = json!({ "keys": [ed.1, ec.1] }).to_string();
    let mut keys = key_set(set.as_bytes(), &[]).unwrap();
    keys.push(Key::secret(SECRET.as_bytes(), &[]).unwrap());
    let identities = Identities::new(vec![source(keys)], [0; 32]);
    let tokens = [of("42", &json!({})), token("EdDSA", &user, &ed.0), token("ES256", &user, &ec.0)];
    let mut cache = Cache::default();
    let mut random = fastrand::Rng::with_seed(7);
    for token in &tokens {
        assert!(proved(&identities, &mut cache, token).is_some_and(|it| &*it.subject == "42"));
        for _ in 0..CHANGES {
            let changed = changed(token, &mut random);
            assert!(
                changed == *token || proved(&identities, &mut cache, &changed).is_none(),
                "{token}\n{changed}"
            );
        }
        // Parts of one token do not fit another.
        for other in tokens.iter().filter(|other| *other != token) {
            let (head, _) = token.rsplit_once('.').unwrap();
            let (_, signature) = other.rsplit_once('.').unwrap();
            assert!(proved(&identities, &mut cache, &format!("{head}.{signature}")).is_none());
        }
        assert!(proved(&identities, &mut cache, token).is_some(), "and it still holds itself");
    }
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
