//! Keys of Rails' cookies, and what they open.

use std::{fmt, num::NonZeroU32};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    cipher::{
        AES_256, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
    },
    hmac,
    iv::FixedLength,
    pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::identity::Flaw;

/// How often PBKDF2 goes round (`Rails::Application#key_generator`).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1000).expect("it is not 0");

const CIPHER_KEY_BYTES: usize = 32;
const SIGNING_KEY_BYTES: usize = 64;
const TAG_BYTES: usize = 16;

/// The shortest `secret_key_base`, in bytes; Rails makes 128 of them.
const BASE_BYTES_MIN: usize = 30;

/// How a cookie is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RailsForm {
    /// Encrypted with AES-256-GCM: `cookies.encrypted` and sessions since Rails 5.2.
    #[default]
    Gcm,
    /// Encrypted with AES-256-CBC and signed: those before.
    Cbc,
    /// Signed alone: `cookies.signed`.
    Signed,
}

/// With which digest PBKDF2 derives keys (`active_support.key_generator_hash_digest_class`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RailsDigest {
    /// Up to Rails 6.1, and what was upgraded from there without new defaults.
    Sha1,
    /// From Rails 7.0 on.
    Sha256,
}

/// The salts of an application; Rails' own by default.
#[derive(Clone, Debug)]
pub struct RailsSalts {
    /// `action_dispatch.authenticated_encrypted_cookie_salt`
    pub gcm: String,
    /// `action_dispatch.encrypted_cookie_salt`
    pub cbc: String,
    /// `action_dispatch.encrypted_signed_cookie_salt`
    pub cbc_signed: String,
    /// `action_dispatch.signed_cookie_salt`
    pub signed: String,
}

/// Opens cookies of one form.
pub struct RailsKey(Opener);

enum Opener {
    Gcm(Box<LessSafeKey>),
    Cbc(Box<[u8; CIPHER_KEY_BYTES]>, Box<Signer>),
    Signed(Box<Signer>),
}

/// A signing key under the digests that Rails can be told to sign with. Which one a cookie has is
/// told by the length of its signature; all are keyed, so the client gains nothing by a choice.
struct Signer([hmac::Key; 3]);

/// Why something is no key. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RailsKeyError {
    /// It is too short.
    #[error("a `secret_key_base` has at least {BASE_BYTES_MIN} characters")]
    ShortBase,
    /// It is not hexadecimal, or not as long as keys of this form are.
    #[error("a derived key of this form has {0} bytes, two lower-case hexadecimal digits each")]
    Derived(usize),
    /// The library refused it.
    #[error("no key can be made of it")]
    Unusable,
}

// === impl RailsSalts ===

impl Default for RailsSalts {
    fn default() -> Self {
        Self {
            gcm: "authenticated encrypted cookie".to_owned(),
            cbc: "encrypted cookie".to_owned(),
            cbc_signed: "signed encrypted cookie".to_owned(),
            signed: "signed cookie".to_owned(),
        }
    }
}

// === impl RailsForm ===

impl RailsForm {
    /// How long the derived key is; of CBC the key of the cipher, and behind it the signing one.
    const fn key_bytes(self) -> usize {
        match self {
            RailsForm::Gcm => CIPHER_KEY_BYTES,
            RailsForm::Cbc => CIPHER_KEY_BYTES + SIGNING_KEY_BYTES,
            RailsForm::Signed => SIGNING_KEY_BYTES,
        }
    }
}

// === impl RailsKey ===

impl RailsKey {
    /// Derives the key of `form` from a `secret_key_base`, as Rails does.
    pub fn derive(
        base: &[u8],
        form: RailsForm,
        digest: RailsDigest,
        salts: &RailsSalts,
    ) -> Result<Self, RailsKeyError> {
        if base.len() < BASE_BYTES_MIN {
            return Err(RailsKeyError::ShortBase);
        }
        let algorithm = match digest {
            RailsDigest::Sha1 => PBKDF2_HMAC_SHA1,
            RailsDigest::Sha256 => PBKDF2_HMAC_SHA256,
        };
        let derive = |salt: &str, bytes: usize| {
            let mut key = vec![0; bytes];
            pbkdf2::derive(algorithm, ITERATIONS, salt.as_bytes(), base, &mut key);
            key
        };
        let key = match form {
            RailsForm::Gcm => derive(&salts.gcm, CIPHER_KEY_BYTES),
            RailsForm::Cbc => {
                [derive(&salts.cbc, CIPHER_KEY_BYTES), derive(&salts.cbc_signed, SIGNING_KEY_BYTES)]
                    .concat()
            }
            RailsForm::Signed => derive(&salts.signed, SIGNING_KEY_BYTES),
        };
        Self::of(&key, form)
    }

    /// A key that was derived elsewhere, in hexadecimal.
    pub fn derived(text: &[u8], form: RailsForm) -> Result<Self, RailsKeyError> {
        let wrong = RailsKeyError::Derived(form.key_bytes());
        let key = hexadecimal(text.trim_ascii()).filter(|key| key.len() == form.key_bytes());
        Self::of(&key.ok_or(wrong)?, form)
    }

    fn of(key: &[u8], form: RailsForm) -> Result<Self, RailsKeyError> {
        let wrong = RailsKeyError::Unusable;
        Ok(Self(match form {
            RailsForm::Gcm => {
                let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| wrong)?;
                Opener::Gcm(Box::new(LessSafeKey::new(key)))
            }
            RailsForm::Cbc => {
                let (cipher, signing) = key.split_at_checked(CIPHER_KEY_BYTES).ok_or(wrong)?;
                let cipher = cipher.try_into().map_err(|_| wrong)?;
                Opener::Cbc(Box::new(cipher), Box::new(Signer::new(signing)))
            }
            RailsForm::Signed => Opener::Signed(Box::new(Signer::new(key))),
        }))
    }

    /// What is in `cookie`, when it was made with this key.
    pub(super) fn open(&self, cookie: &[u8]) -> Result<Vec<u8>, Flaw> {
        match &self.0 {
            Opener::Gcm(key) => gcm(key, cookie),
            Opener::Cbc(key, signer) => cbc(key, &signer.open(cookie)?),
            Opener::Signed(signer) => signer.open(cookie),
        }
    }
}

impl fmt::Debug for RailsKey {
    /// Nothing of the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RailsKey")
    }
}

// === impl Signer ===

impl Signer {
    fn new(key: &[u8]) -> Self {
        let digests = [hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA256, hmac::HMAC_SHA512];
        Self(digests.map(|digest| hmac::Key::new(digest, key)))
    }

    /// `DATA--SIGNATURE`: the data in base64, the signature over that text in hexadecimal.
    fn open(&self, cookie: &[u8]) -> Result<Vec<u8>, Flaw> {
        let [data, signature] = parts(cookie)?;
        let signature = hexadecimal(signature).ok_or(Flaw::Malformed)?;
        let fits =
            |key: &&hmac::Key| key.algorithm().digest_algorithm().output_len() == signature.len();
        let key = self.0.iter().find(fits).ok_or(Flaw::Malformed)?;
        hmac::verify(key, data, &signature).map_err(|_| Flaw::BadSignature)?;
        base64(data)
    }
}

/// `CIPHERTEXT--IV--TAG`, each in base64.
fn gcm(key: &LessSafeKey, cookie: &[u8]) -> Result<Vec<u8>, Flaw> {
    let [text, nonce, tag] = parts(cookie)?;
    let (mut text, nonce, tag) = (base64(text)?, base64(nonce)?, base64(tag)?);
    let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| Flaw::Malformed)?;
    // A shorter tag would be easier to guess (CVE-2016-7798 of Ruby's openssl).
    if tag.len() != TAG_BYTES {
        return Err(Flaw::Malformed);
    }
    text.extend_from_slice(&tag);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = key.open_in_place(nonce, Aad::empty(), &mut text);
    let length = opened.map_err(|_| Flaw::BadSignature)?.len();
    text.truncate(length);
    Ok(text)
}

/// `CIPHERTEXT--IV`, each in base64; its signature has been verified.
fn cbc(key: &[u8; CIPHER_KEY_BYTES], signed: &[u8]) -> Result<Vec<u8>, Flaw> {
    let [text, iv] = parts(signed)?;
    let (mut text, iv) = (base64(text)?, base64(iv)?);
    let iv: [u8; AES_CBC_IV_LEN] = iv.try_into().map_err(|_| Flaw::Malformed)?;
    let key = UnboundCipherKey::new(&AES_256, key).map_err(|_| Flaw::Malformed)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Flaw::Malformed)?;
    let iv = DecryptionContext::Iv128(FixedLength::from(iv));
    let length = key.decrypt(&mut text, iv).map_err(|_| Flaw::Malformed)?.len();
    text.truncate(length);
    Ok(text)
}

/// The parts between `--`, when there are as many.
fn parts<const N: usize>(text: &[u8]) -> Result<[&[u8]; N], Flaw> {
    let mut found = [&[][..]; N];
    let mut rest = text;
    for place in &mut found[..N - 1] {
        let at = memchr::memmem::find(rest, b"--").ok_or(Flaw::Malformed)?;
        *place = &rest[..at];
        rest = &rest[at + 2..];
    }
    found[N - 1] = rest;
    if memchr::memmem::find(rest, b"--").is_some() { Err(Flaw::Malformed) } else { Ok(found) }
}

fn base64(text: &[u8]) -> Result<Vec<u8>, Flaw> {
    STANDARD.decode(text).map_err(|_| Flaw::Malformed)
}

/// Bytes out of lower-case hexadecimal digits, as Ruby writes them.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    pairs.iter().map(|[upper, lower]| Some(digit(*upper)? << 4 | digit(*lower)?)).collect()
}
