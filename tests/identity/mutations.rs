//! Nothing that was changed proves anything: a thousand changes of everything that proves somebody.
//!
//! Transport: none; there is no client.

use std::sync::OnceLock;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};
use usher::{
    identity::{
        Algorithm, Cache, Evidence, Flaw, Identities, Invalid, Keys, Kind, Moment, Place,
        RailsCookie, RailsDigest, RailsForm, RailsKey, RailsSalts, Signed, Source, Terms, Tokens,
    },
    name::Name,
};

use crate::{
    cookies::Minted,
    signers::{Signer, signers},
    tokens::claims,
};

/// How many changes are tried of each.
const CHANGES: usize = 1000;

/// What such texts are made of, and what they are not.
const ALPHABET: &[u8] = b"ABCabcxyz0189-_.=+/~% \t,;\"\\\x00\n\xff\xc3";

/// What divides a credential into parts.
#[derive(Clone, Copy)]
enum Divided {
    Dots,
    Dashes,
}

/// Something that proves who asks, and whoever believes it.
struct Proved {
    what: String,
    /// Two of the same key: of user 42, and of user 7 or of another form.
    both: [Vec<u8>; 2],
    divided: Divided,
    identities: Identities,
    carried: fn(&[u8]) -> Option<HeaderMap>,
}

// === impl Divided ===

impl Divided {
    fn text(self) -> &'static [u8] {
        match self {
            Divided::Dots => b".",
            Divided::Dashes => b"--",
        }
    }

    fn parts(self, text: &[u8]) -> Vec<Vec<u8>> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(at) = rest.windows(self.text().len()).position(|it| it == self.text()) {
            parts.push(rest[..at].to_vec());
            rest = &rest[at + self.text().len()..];
        }
        parts.push(rest.to_vec());
        parts
    }

    fn joined(self, parts: &[Vec<u8>]) -> Vec<u8> {
        parts.join(self.text())
    }
}

// === impl Proved ===

impl Proved {
    /// Of whom it speaks; `None` when it is not even looked at.
    fn asked(&self, cache: &mut Cache, text: &[u8]) -> Option<Result<String, Flaw>> {
        let headers = (self.carried)(text)?;
        let evidence =
            Evidence { headers: &headers, query: None, trusted: false, certificate: None };
        let mut outcome = None;
        let found = self.identities.find(&evidence, cache, Moment::now(), |_, it| {
            outcome = Some(it);
        });
        let user = found.identity.map(|identity| identity.subject.to_string());
        outcome.map(|outcome| outcome.map(|()| user.expect("it is proved")))
    }

    /// Tries a thousand changes. What comes out as one of the two that are right is none.
    fn holds(&self, seed: u64) {
        let (mut cache, mut random) = (Cache::default(), fastrand::Rng::with_seed(seed));
        for text in &self.both {
            let user = self.asked(&mut cache, text);
            assert!(matches!(user, Some(Ok(_))), "{}: unchanged it is {user:?}", self.what);
        }
        let (mut tried, mut forged) = (0, 0);
        for round in 0..CHANGES {
            let changed = self.changed(round, &mut random);
            if self.both.iter().any(|right| right.trim_ascii() == changed.trim_ascii()) {
                continue;
            }
            let shown = String::from_utf8_lossy(&changed);
            match self.asked(&mut cache, &changed) {
                None => {}
                Some(Ok(user)) => panic!("{}, round {round}: {user} by {shown}", self.what),
                Some(Err(flaw)) => {
                    tried += 1;
                    forged += usize::from(flaw == Flaw::BadSignature);
                }
            }
        }
        // Most of them are looked at, and many are turned away by their signature alone.
        assert!(tried > CHANGES / 2 && forged > CHANGES / 10, "{}: {tried} {forged}", self.what);
        for text in &self.both {
            let user = self.asked(&mut cache, text);
            assert!(matches!(user, Some(Ok(_))), "{}: and it still is", self.what);
        }
    }

    fn changed(&self, round: usize, random: &mut fastrand::Rng) -> Vec<u8> {
        let [text, other] = &self.both;
        let (mut parts, others) = (self.divided.parts(text), self.divided.parts(other));
        let at = random.usize(0..parts.len());
        match round % 10 {
            0..=2 => return scrambled(text, random),
            // One bit of what a part encodes.
            3 => parts[at] = flipped(&parts[at], random),
            4 => return text[..random.usize(0..text.len())].to_vec(),
            // Parts of one do not fit another.
            5 => parts[at] = others[at.min(others.len() - 1)].clone(),
            6 => {
                let twice = parts[at].clone();
                parts.insert(random.usize(0..=parts.len()), twice);
            }
            7 => drop(parts.remove(at)),
            8 => parts[at].extend_from_slice([&b"="[..], b"==", b"AA", b"%00"][random.usize(0..4)]),
            _ => parts[at] = spelt_otherwise(&parts[at], random),
        }
        self.divided.joined(&parts)
    }
}

/// One to three bytes are others, more, fewer or elsewhere.
fn scrambled(text: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..bytes.len());
        let letter = ALPHABET[random.usize(0..ALPHABET.len())];
        match random.u8(0..6) {
            0 => bytes[at] = letter,
            1 => bytes.insert(at, letter),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << random.u8(0..8),
            4 => {
                let other = random.usize(0..bytes.len());
                bytes.swap(at, other);
            }
            _ => bytes.rotate_left(at),
        }
    }
    bytes
}

/// The same part with one bit of what it encodes flipped: well-formed, and another.
fn flipped(part: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    for engine in [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD, &STANDARD_NO_PAD] {
        if let Ok(mut bytes) = engine.decode(part)
            && !bytes.is_empty()
        {
            let at = random.usize(0..bytes.len());
            bytes[at] ^= 1 << random.u8(0..8);
            return engine.encode(bytes).into_bytes();
        }
    }
    let mut bytes = part.to_vec();
    bytes.reverse();
    bytes
}

/// The same part as a lenient reader would still read it, or with another algorithm in it.
fn spelt_otherwise(part: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(part).into_owned();
    if let Ok(head) = URL_SAFE_NO_PAD.decode(part)
        && let Ok(mut head) = serde_json::from_slice::<Value>(&head)
        && head["alg"].is_string()
    {
        let names = Algorithm::ALL.iter().map(|it| it.name()).chain(["none", "None", "hs256", ""]);
        let names: Vec<&str> = names.filter(|name| head["alg"] != **name).collect();
        head["alg"] = names[random.usize(0..names.len())].into();
        return URL_SAFE_NO_PAD.encode(head.to_string()).into_bytes();
    }
    let mut bytes = part.to_vec();
    match random.u8(0..5) {
        0 => text.to_ascii_uppercase().into_bytes(),
        1 => text.to_ascii_lowercase().into_bytes(),
        2 => [part, b"\n"].concat(),
        3 => [b" ", part].concat(),
        _ => {
            // Bits behind the last byte that are to be zero.
            if let Some(last) = bytes.iter_mut().rfind(|byte| byte.is_ascii_alphanumeric()) {
                *last = if *last == b'z' { b'a' } else { *last + 1 };
            }
            bytes
        }
    }
}

fn identities(kind: Kind) -> Identities {
    let source = Source::new(Name::parse("source").unwrap(), Invalid::Anonymous, kind);
    Identities::new(vec![source], [0; 32])
}

fn bears(token: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    Some([(AUTHORIZATION, value)].into_iter().collect())
}

fn own_cookie(cookie: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(&[b"a=b; _usher_identity=", cookie].concat()).ok()?;
    Some([(COOKIE, value)].into_iter().collect())
}

/// As Rails escapes it.
fn rails_cookie(cookie: &[u8]) -> Option<HeaderMap> {
    let cookie = percent_encode(cookie, NON_ALPHANUMERIC).to_string();
    let value = HeaderValue::from_str(&format!("_shop_session={cookie}")).ok()?;
    Some([(COOKIE, value)].into_iter().collect())
}

fn all_signers() -> &'static [Signer] {
    static SIGNERS: OnceLock<Vec<Signer>> = OnceLock::new();
    SIGNERS.get_or_init(signers)
}

#[test]
fn a_thousand_changes_of_a_token_of_each_algorithm_yield_no_identity() {
    for (seed, signer) in all_signers().iter().enumerate() {
        // Every algorithm is allowed, and every key is there: a change might meet another.
        let keys = all_signers().iter().map(|it| it.key(Algorithm::ALL)).collect();
        let terms =
            Terms { user: "sub".into(), audiences: vec!["shop".into()], ..Terms::default() };
        let places = vec![Place::Header(AUTHORIZATION)];
        let tokens = Tokens::new(places, Keys::new(keys), terms);
        let token = |user| signer.token(&claims(user, &json!({ "roles": ["vip"] }))).into_bytes();
        let proved = Proved {
            what: signer.algorithm.name().to_owned(),
            both: [token("42"), token("7")],
            divided: Divided::Dots,
            identities: identities(Kind::Tokens(tokens)),
            carried: bears,
        };
        proved.holds(seed as u64);
    }
}

#[test]
fn a_thousand_changes_of_the_applications_own_cookie_yield_no_identity() {
    let fit = |signer: &&Signer| matches!(signer.algorithm, Algorithm::EdDsa | Algorithm::Es256);
    for signer in all_signers().iter().filter(fit) {
        let keys = Keys::new(vec![signer.key(&[])]);
        let terms = Terms { user: "sub".into(), ..Terms::default() };
        let cookie = |user| signer.own_cookie(&claims(user, &json!({}))).into_bytes();
        let proved = Proved {
            what: format!("usher's own cookie, {}", signer.algorithm.name()),
            both: [cookie("42"), cookie("7")],
            divided: Divided::Dots,
            identities: identities(Kind::Signed(Signed::new(
                "_usher_identity".into(),
                keys,
                terms,
            ))),
            carried: own_cookie,
        };
        proved.holds(71);
    }
}

#[test]
fn a_thousand_changes_of_each_cookie_of_rails_yield_no_identity() {
    let rows = include_str!("../identities/rails-7.2.jsonl").lines();
    let rows: Vec<Minted> = rows.map(|line| serde_json::from_str(line).unwrap()).collect();
    let salts = RailsSalts::default();
    for (form, variant, user, labels) in [
        (RailsForm::Gcm, "gcm", "user_id", ["session", "with an end"]),
        (RailsForm::Cbc, "cbc", "user_id", ["session", "keys by SHA-256"]),
        (RailsForm::Signed, "signed", "", ["a scalar", "with an end"]),
        (RailsForm::Signed, "signed", "", ["by SHA-256", "by SHA-512"]),
    ] {
        let base = "a1b2c3d4".repeat(16);
        let digests = [RailsDigest::Sha1, RailsDigest::Sha256];
        let keys = digests.map(|it| RailsKey::derive(base.as_bytes(), form, it, &salts).unwrap());
        let terms = Terms { user: user.into(), ..Terms::default() };
        let cookies = RailsCookie::new("_shop_session".into(), keys.into(), terms, true);
        let both = labels.map(|label| {
            let row = rows.iter().find(|row| row.variant == variant && row.label == label);
            percent_decode_str(&row.expect("it was recorded").value).collect()
        });
        let proved = Proved {
            what: format!("{form:?} {labels:?}"),
            both,
            divided: Divided::Dashes,
            identities: identities(Kind::Rails(cookies)),
            carried: rails_cookie,
        };
        proved.holds(72);
    }
}
