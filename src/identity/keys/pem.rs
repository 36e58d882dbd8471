//! Public keys out of PEM files.

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use x509_cert::{
    der::{Decode, Reader, SliceReader, asn1::ObjectIdentifier, asn1::UintRef},
    spki::SubjectPublicKeyInfoRef,
};

use super::{Family, KeyError, MODULUS_BYTES_MIN};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// The first public key in `text`, as a `SubjectPublicKeyInfo`.
pub(super) fn public_key(text: &[u8]) -> Result<(Family, Vec<u8>), KeyError> {
    if memchr::memmem::find(text, b"PRIVATE KEY-----").is_some() {
        return Err(KeyError::Private);
    }
    let info = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| KeyError::NoPublicKey)?;
    let parsed = SubjectPublicKeyInfoRef::from_der(&info).map_err(|_| KeyError::Unusable)?;
    let family = match parsed.algorithm.oid {
        RSA => {
            let key = parsed.subject_public_key.as_bytes().ok_or(KeyError::Unusable)?;
            long_enough(modulus_bytes(key).ok_or(KeyError::Unusable)?)?;
            Family::Rsa
        }
        ED25519 => Family::Ed25519,
        ELLIPTIC => match parsed.algorithm.parameters_oid() {
            Ok(P256) => Family::P256,
            Ok(P384) => Family::P384,
            Ok(P521) => Family::P521,
            _ => return Err(KeyError::Unusable),
        },
        _ => return Err(KeyError::Unusable),
    };
    Ok((family, info.to_vec()))
}

/// Whether a modulus of so many bytes is long enough.
pub(super) fn long_enough(modulus_bytes: usize) -> Result<(), KeyError> {
    if modulus_bytes < MODULUS_BYTES_MIN { Err(KeyError::ShortModulus) } else { Ok(()) }
}

/// The length of the modulus of an `RSAPublicKey` (RFC 8017 §A.1.1).
fn modulus_bytes(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let read = reader.sequence(|inner: &mut SliceReader<'_>| {
        let modulus = UintRef::decode(inner)?;
        let _exponent = UintRef::decode(inner)?;
        Ok::<usize, x509_cert::der::Error>(modulus.as_bytes().len())
    });
    read.ok()
}
