//! JSON Web Tokens as RFC 7515 writes them compactly: three parts of base64url with dots between.
//!
//! Parsing is strict, so that one token has one spelling: no padding, no line breaks, no bits left
//! over behind the last byte, no part too many. Extensions that a reader must understand (`crit`)
//! and compression are refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::Flaw;

/// A token taken apart, of which nothing has been verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// The algorithm that it names.
    pub(super) algorithm: String,
    /// The key that it names.
    pub(super) key: Option<String>,
    /// What was signed.
    pub(super) signed: &'a [u8],
    /// Its signature.
    pub(super) signature: Vec<u8>,
    /// What it says, still encoded.
    payload: &'a [u8],
}

// === impl Unverified ===

impl<'a> Unverified<'a> {
    /// Takes `token` apart.
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Flaw> {
        let first = memchr::memchr(b'.', token).ok_or(Flaw::Malformed)?;
        let last = memchr::memrchr(b'.', token).ok_or(Flaw::Malformed)?;
        let payload = token.get(first + 1..last).ok_or(Flaw::Malformed)?;
        let mut header = object(&decode(&token[..first])?)?;
        if payload.contains(&b'.') || header.contains_key("crit") || header.contains_key("zip") {
            return Err(Flaw::Malformed);
        }
        let Some(Value::String(algorithm)) = header.remove("alg") else {
            return Err(Flaw::Malformed);
        };
        let key = match header.remove("kid") {
            None => None,
            Some(Value::String(key)) => Some(key),
            Some(_) => return Err(Flaw::Malformed),
        };
        let signature = decode(&token[last + 1..])?;
        Ok(Self { algorithm, key, signed: &token[..last], signature, payload })
    }

    /// What it says. To be asked for only once the signature holds.
    pub(super) fn claims(&self) -> Result<Value, Flaw> {
        object(&decode(self.payload)?).map(Value::Object)
    }
}

/// Bytes out of base64url without padding.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Flaw::Malformed)
}

/// A JSON object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Flaw> {
    serde_json::from_slice(bytes).map_err(|_| Flaw::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(header: &str, rest: &str) -> Result<(String, Option<String>), Flaw> {
        let token = format!("{}{rest}", URL_SAFE_NO_PAD.encode(header));
        Unverified::parse(token.as_bytes()).map(|token| (token.algorithm, token.key))
    }

    #[test]
    fn a_token_has_three_parts_and_a_header_that_is_understood() {
        let fine = r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#;
        assert_eq!(parsed(fine, ".e30.AA"), Ok(("ES256".into(), Some("a".into()))));
        for (header, rest) in [
            (fine, ""),
            (fine, ".e30"),
            (fine, ".e30.AA.AA"),
            (fine, ".e30.AA.AA.AA"),
            (fine, ".e30.AA=="),
            (fine, ".e30.AB"),
            (fine, ".e30.A/"),
            (r#"{"alg":"ES256","crit":["exp"]}"#, ".e30.AA"),
            (r#"{"alg":"ES256","zip":"DEF"}"#, ".e30.AA"),
            (r#"{"alg":["ES256"]}"#, ".e30.AA"),
            (r#"{"alg":"ES256","kid":1}"#, ".e30.AA"),
            (r#"{"kid":"a"}"#, ".e30.AA"),
            ("[]", ".e30.AA"),
            ("", ".e30.AA"),
        ] {
            assert_eq!(parsed(header, rest), Err(Flaw::Malformed), "{header} {rest}");
        }
        assert_eq!(Unverified::parse(b"").map(|_| ()), Err(Flaw::Malformed));
        assert_eq!(Unverified::parse(b".").map(|_| ()), Err(Flaw::Malformed));
    }
}
