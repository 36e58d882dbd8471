//! Keys, and which algorithms each is for.
//!
//! **The key decides.** What a token names as its algorithm only chooses among those that its key
//! is for; a public key is never a secret, and `none` is no algorithm at all.

mod jwk;
mod pem;
mod ring;

use std::fmt;

use aws_lc_rs::{
    hmac,
    signature::{self, ParsedPublicKey, VerificationAlgorithm},
};

use super::jose::Unverified;

pub use jwk::{PassedOver, key_set};
pub use ring::{Keys, Published};

pub(super) use jwk::published_set;

/// The shortest secret, in bytes (RFC 7518 §3.2 for HS256).
pub const SECRET_BYTES_MIN: usize = 32;

/// The shortest RSA modulus, in bytes.
const MODULUS_BYTES_MIN: usize = 256;

/// The most keys of a source.
pub const KEYS_MAX: usize = 64;

macro_rules! algorithms {
    ($($variant:ident $name:literal $family:ident,)+) => {
        /// A way to sign (RFC 7518 §3.1, RFC 8037 §3.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "their names say it")]
        pub enum Algorithm {
            $($variant,)+
        }

        impl Algorithm {
            /// Every one that is known here.
            pub const ALL: &'static [Algorithm] = &[$(Algorithm::$variant,)+];

            /// As it stands in tokens.
            pub const fn name(self) -> &'static str {
                match self { $(Algorithm::$variant => $name,)+ }
            }

            /// What keys it takes.
            pub const fn family(self) -> Family {
                match self { $(Algorithm::$variant => Family::$family,)+ }
            }
        }
    };
}

algorithms! {
    Hs256 "HS256" Secret,
    Hs384 "HS384" Secret,
    Hs512 "HS512" Secret,
    Rs256 "RS256" Rsa,
    Rs384 "RS384" Rsa,
    Rs512 "RS512" Rsa,
    Ps256 "PS256" Rsa,
    Ps384 "PS384" Rsa,
    Ps512 "PS512" Rsa,
    Es256 "ES256" P256,
    Es384 "ES384" P384,
    Es512 "ES512" P521,
    EdDsa "EdDSA" Ed25519,
}

/// A kind of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A secret that both sides hold.
    Secret,
    /// RSA.
    Rsa,
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// The curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

/// A key, and what it is for.
pub struct Key {
    id: Option<Box<str>>,
    family: Family,
    verifiers: Vec<(Algorithm, Verifier)>,
    /// How else the holder of this key signs: an ECDSA signature in DER, as OpenSSL writes it.
    openssl: Option<ParsedPublicKey>,
}

enum Verifier {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Why something is no key. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no PEM block with a public key.
    #[error("there is no public key in it (`-----BEGIN PUBLIC KEY-----`)")]
    NoPublicKey,
    /// There is a private key.
    #[error("there is a private key in it, which usher must not hold: `openssl pkey -pubout`")]
    Private,
    /// There is a private key in a set.
    #[error("there is a private key in it (`d`), which usher must not hold")]
    PrivateJwk,
    /// The key is broken, or of a kind that is not supported.
    #[error("the key is broken, or neither RSA, P-256, P-384, P-521 nor Ed25519")]
    Unusable,
    /// An RSA key is too short.
    #[error("an RSA key has at least 2048 bits")]
    ShortModulus,
    /// It is for something else.
    #[error("it is not for signatures (`use`, `key_ops`)")]
    OtherUse,
    /// A secret that everybody can fetch.
    #[error("it is a secret, and one that is published is none")]
    PublishedSecret,
    /// A private key that everybody can fetch.
    #[error("it is a private key, and anybody can sign with one that is published")]
    PublishedPrivate,
    /// A secret is too short.
    #[error("a secret has at least {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// It is no set of keys.
    #[error("it is no JWK set: `{{\"keys\": […]}}` is expected")]
    NoKeySet,
    /// There are no keys in a set, or none that signs.
    #[error("there is no key in it that could be used here")]
    EmptyKeySet,
    /// There are too many.
    #[error("there are more than {KEYS_MAX} keys in it")]
    Many,
    /// None of the algorithms that are allowed fits the key.
    #[error("none of `algorithms` is one of this key")]
    NoAlgorithm,
}

// === impl Family ===

impl Family {
    /// What a key of this kind is for when nobody says.
    const fn usual(self) -> Algorithm {
        match self {
            Family::Secret => Algorithm::Hs256,
            Family::Rsa => Algorithm::Rs256,
            Family::P256 => Algorithm::Es256,
            Family::P384 => Algorithm::Es384,
            Family::P521 => Algorithm::Es512,
            Family::Ed25519 => Algorithm::EdDsa,
        }
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// The algorithm that is called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
            Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
            Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    fn public(self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match self {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return None,
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
            Algorithm::EdDsa => &signature::ED25519,
        })
    }
}

// === impl Key ===

impl Key {
    /// A secret. `allowed` are the algorithms that it is for; none: the usual one.
    pub fn secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret);
        }
        let verifier = |algorithm: Algorithm| {
            let hmac = algorithm.hmac().ok_or(KeyError::NoAlgorithm)?;
            Ok((algorithm, Verifier::Secret(Box::new(hmac::Key::new(hmac, secret)))))
        };
        let verifiers = algorithms(Family::Secret, allowed)?.into_iter().map(verifier);
        let verifiers = verifiers.collect::<Result<_, _>>()?;
        Ok(Self { id: None, family: Family::Secret, verifiers, openssl: None })
    }

    /// The public key out of a PEM file. A file with a private key is refused: whoever can read
    /// usher's files could then sign.
    pub fn pem(text: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyError> {
        let (family, bytes) = pem::public_key(text)?;
        Self::public(family, &bytes, allowed)
    }

    /// `bytes` are as [`ParsedPublicKey`] takes them for this family.
    fn public(family: Family, bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyError> {
        let parse = |algorithm| ParsedPublicKey::new(algorithm, bytes);
        let verifier = |algorithm: Algorithm| {
            let public = algorithm.public().ok_or(KeyError::NoAlgorithm)?;
            let public = parse(public).map_err(|_| KeyError::Unusable)?;
            Ok((algorithm, Verifier::Public(public)))
        };
        let verifiers = algorithms(family, allowed)?.into_iter().map(verifier);
        let verifiers = verifiers.collect::<Result<_, _>>()?;
        let openssl = match family {
            Family::P256 => parse(&signature::ECDSA_P256_SHA256_ASN1).ok(),
            Family::Ed25519 => parse(&signature::ED25519).ok(),
            Family::Secret | Family::Rsa | Family::P384 | Family::P521 => None,
        };
        Ok(Self { id: None, family, verifiers, openssl })
    }

    /// The same key under a name.
    pub fn called(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Of which kind it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether `signature`, as OpenSSL writes it, is this key's over `signed`. Only for Ed25519 and
    /// P-256 (with SHA-256).
    pub(super) fn signed_by_openssl(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.openssl.as_ref().is_some_and(|key| key.verify_sig(signed, signature).is_ok())
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|(known, _)| *known == algorithm).map(|(_, verifier)| verifier)
    }
}

impl fmt::Debug for Key {
    /// Nothing of the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("family", &self.family).finish_non_exhaustive()
    }
}

// === impl Verifier ===

impl Verifier {
    /// In constant time where there is a secret.
    fn verifies(&self, token: &Unverified<'_>) -> bool {
        match self {
            Verifier::Secret(key) => hmac::verify(key, token.signed, &token.signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(token.signed, &token.signature).is_ok(),
        }
    }
}

/// Those of `allowed` that a key of this family is for; the usual one when nothing is said.
fn algorithms(family: Family, allowed: &[Algorithm]) -> Result<Vec<Algorithm>, KeyError> {
    if allowed.is_empty() {
        return Ok(vec![family.usual()]);
    }
    let fitting = allowed.iter().copied().filter(|algorithm| algorithm.family() == family);
    let fitting: Vec<Algorithm> = fitting.collect();
    if fitting.is_empty() { Err(KeyError::NoAlgorithm) } else { Ok(fitting) }
}
