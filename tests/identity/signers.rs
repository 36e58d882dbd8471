//! A key of every kind, and what is signed with it in every way.
//!
//! Transport: none; there is no client.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;
use usher::identity::{Algorithm, Key};

use crate::tokens::token;

/// Whoever signs with one algorithm.
pub struct Signer {
    pub algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Secret(Box<hmac::Key>, &'static [u8]),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    /// As JWTs write it, and as OpenSSL does.
    Curve(EcdsaKeyPair, Option<EcdsaKeyPair>),
    Edwards(Ed25519KeyPair),
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// One for each algorithm that there is.
pub fn signers() -> Vec<Signer> {
    Algorithm::ALL.iter().map(|algorithm| Signer::new(*algorithm)).collect()
}

// === impl Signer ===

impl Signer {
    fn new(algorithm: Algorithm) -> Self {
        let secret = |hmac| Pair::Secret(Box::new(hmac::Key::new(hmac, SECRET)), SECRET);
        let rsa = |encoding| Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), encoding);
        let pair = match algorithm {
            Algorithm::Hs256 => secret(hmac::HMAC_SHA256),
            Algorithm::Hs384 => secret(hmac::HMAC_SHA384),
            Algorithm::Hs512 => secret(hmac::HMAC_SHA512),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
            Algorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => Pair::Edwards(Ed25519KeyPair::generate().unwrap()),
        };
        Self { algorithm, pair }
    }

    /// The key that verifies what is signed here, for those of `allowed` that it is for.
    pub fn key(&self, allowed: &[Algorithm]) -> Key {
        let der: Vec<u8> = match &self.pair {
            Pair::Secret(_, secret) => return Key::secret(secret, allowed).unwrap(),
            Pair::Rsa(pair, _) => x509(pair.public_key()),
            Pair::Curve(pair, _) => x509(pair.public_key()),
            Pair::Edwards(pair) => x509(pair.public_key()),
        };
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        );
        Key::pem(pem.as_bytes(), allowed).unwrap()
    }

    /// A JSON Web Token.
    pub fn token(&self, claims: &Value) -> String {
        token(self.algorithm.name(), claims, |signed| self.sign(signed))
    }

    /// usher's own cookie.
    pub fn own_cookie(&self, claims: &Value) -> String {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let signed = format!("usher-identity.{payload}");
        let signature = match &self.pair {
            Pair::Curve(_, Some(openssl)) => {
                openssl.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
            }
            Pair::Secret(..) | Pair::Rsa(..) | Pair::Curve(..) | Pair::Edwards(_) => {
                self.sign(signed.as_bytes())
            }
        };
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Secret(key, _) => hmac::sign(key, signed).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed, &mut signature).unwrap();
                signature
            }
            Pair::Curve(pair, _) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> Pair {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let openssl = (*algorithm == ECDSA_P256_SHA256_FIXED_SIGNING).then(|| {
        let key = pair.to_pkcs8v1().unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap()
    });
    Pair::Curve(pair, openssl)
}

fn x509(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}
