//! Sets of keys as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use serde_json::{Map, Value};
use x509_cert::der::{AnyRef, Encode, Tag, asn1::UintRef};

use super::{Algorithm, Family, KEYS_MAX, Key, KeyError, pem::long_enough};
use crate::identity::jose::decode;

/// The length of a public key of Ed25519 (RFC 8032 §5.1.5).
const ED25519_BYTES: usize = 32;

/// The longest name of a key that is shown.
const SHOWN_CHARACTERS: usize = 64;

/// A key of a published set that cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its name, as far as it can be shown.
    pub id: Option<String>,
    /// Why not.
    pub why: KeyError,
}

/// The keys of a set. Those of other kinds, for encryption or for algorithms that are not allowed
/// are passed over, as RFC 7517 §5 has it; a set without any that can be used is an error. So is
/// one with a private key, of whatever kind and use: whoever can read usher's files could then
/// sign.
pub fn key_set(text: &[u8], allowed: &[Algorithm]) -> Result<Vec<Key>, KeyError> {
    let written = written(text)?;
    if written.iter().filter_map(Value::as_object).any(is_private) {
        return Err(KeyError::PrivateJwk);
    }
    let mut keys = Vec::new();
    for jwk in written.iter().filter_map(Value::as_object).filter(|jwk| is_for_signing(jwk)) {
        match key(jwk, allowed) {
            Ok(key) => keys.push(key),
            Err(KeyError::NoAlgorithm | KeyError::Unusable) => {}
            Err(error) => return Err(error),
        }
    }
    if keys.is_empty() { Err(KeyError::EmptyKeySet) } else { Ok(keys) }
}

/// The keys of a set that everybody can fetch, and those that are passed over. One that is of no
/// use spoils no other: whoever publishes them speaks to many. Secrets and private keys prove
/// nothing once they are published.
pub(in crate::identity) fn published_set(
    text: &[u8],
    allowed: &[Algorithm],
) -> Result<(Vec<Key>, Vec<PassedOver>), KeyError> {
    let (mut keys, mut passed_over) = (Vec::new(), Vec::new());
    for jwk in &written(text)? {
        match jwk.as_object().ok_or(KeyError::Unusable).and_then(|jwk| published(jwk, allowed)) {
            Ok(key) => keys.push(key),
            Err(why) => passed_over.push(PassedOver { id: shown(jwk), why }),
        }
    }
    if keys.is_empty() { Err(KeyError::EmptyKeySet) } else { Ok((keys, passed_over)) }
}

fn published(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Key, KeyError> {
    if jwk.get("kty").is_some_and(|kind| kind == "oct") || jwk.contains_key("k") {
        return Err(KeyError::PublishedSecret);
    }
    if is_private(jwk) {
        return Err(KeyError::PublishedPrivate);
    }
    if !is_for_signing(jwk) {
        return Err(KeyError::OtherUse);
    }
    key(jwk, allowed)
}

/// The name of a key as it may be shown to people and written to logs.
fn shown(jwk: &Value) -> Option<String> {
    let id = jwk.get("kid")?.as_str()?;
    let fine = id.chars().filter(|letter| letter.is_ascii_graphic());
    Some(fine.take(SHOWN_CHARACTERS).collect())
}

/// What stands in a set, unless it is too much.
fn written(text: &[u8]) -> Result<Vec<Value>, KeyError> {
    let mut set: Map<String, Value> =
        serde_json::from_slice(text).map_err(|_| KeyError::NoKeySet)?;
    let Some(Value::Array(written)) = set.remove("keys") else { return Err(KeyError::NoKeySet) };
    if written.len() > KEYS_MAX { Err(KeyError::Many) } else { Ok(written) }
}

/// Whether a key holds what only its owner may know: RSA, elliptic curves and octet pairs all call
/// it `d` (RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2).
fn is_private(jwk: &Map<String, Value>) -> bool {
    jwk.contains_key("d")
}

fn is_for_signing(jwk: &Map<String, Value>) -> bool {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let operations = jwk.get("key_ops").and_then(Value::as_array);
    let verifies = operations.is_none_or(|all| all.iter().any(|it| it == "verify"));
    text("use").is_none_or(|it| it == "sig") && verifies
}

fn key(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Key, KeyError> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let bytes = |name| {
        let text = text(name).ok_or(KeyError::Unusable)?;
        decode(text.as_bytes()).map_err(|_| KeyError::Unusable)
    };
    // A key that says what it is for is for nothing else.
    let own = match text("alg") {
        Some(name) => Some(Algorithm::parse(name).ok_or(KeyError::NoAlgorithm)?),
        None => None,
    };
    let one = own.map(|algorithm| [algorithm]);
    let fine = one.filter(|[one]| allowed.is_empty() || allowed.contains(one));
    let allowed = match (&own, &fine) {
        (None, _) => allowed,
        (Some(_), Some(one)) => one,
        (Some(_), None) => return Err(KeyError::NoAlgorithm),
    };
    let key = match (text("kty"), text("crv")) {
        (Some("oct"), _) => Key::secret(&bytes("k")?, allowed)?,
        (Some("RSA"), _) => {
            let modulus = without_zeros(bytes("n")?);
            long_enough(modulus.len())?;
            let public = rsa(&modulus, &bytes("e")?).ok_or(KeyError::Unusable)?;
            Key::public(Family::Rsa, &public, allowed)?
        }
        (Some("EC"), Some(curve)) => {
            let (family, length) = match curve {
                "P-256" => (Family::P256, 32),
                "P-384" => (Family::P384, 48),
                "P-521" => (Family::P521, 66),
                _ => return Err(KeyError::Unusable),
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != length || y.len() != length {
                return Err(KeyError::Unusable);
            }
            Key::public(family, &[&[4][..], &x, &y].concat(), allowed)?
        }
        (Some("OKP"), Some("Ed25519")) => {
            let point = bytes("x")?;
            if point.len() != ED25519_BYTES {
                return Err(KeyError::Unusable);
            }
            Key::public(Family::Ed25519, &point, allowed)?
        }
        _ => return Err(KeyError::Unusable),
    };
    Ok(match text("kid") {
        Some(id) => key.called(id),
        None => key,
    })
}

/// An `RSAPublicKey` (RFC 8017 §A.1.1).
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let number = |bytes| UintRef::new(bytes).and_then(|number| number.to_der()).ok();
    let both = [number(modulus)?, number(exponent)?].concat();
    AnyRef::new(Tag::Sequence, &both).and_then(|sequence| sequence.to_der()).ok()
}

fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}
