//! What others vouch for: a proxy in front that has already found out who asks, and the certificate
//! that the peer showed.

use std::sync::Arc;

use http::HeaderName;

use super::{
    Evidence, Flaw,
    claims::{user, words},
};
use crate::{classify::Identity, name::Name};

/// Fields in which a trusted proxy says who asks. From others they are nothing, and do not reach
/// Rails.
#[derive(Debug)]
pub struct Fields {
    /// The field with the user.
    pub user: HeaderName,
    /// The field with the roles, with commas or blanks between them.
    pub roles: Option<HeaderName>,
}

/// What of a certificate's subject says who asks.
#[derive(Debug)]
pub struct Certificate {
    /// Which part of the subject is the user; `None`: all of it.
    pub user: Option<String>,
    /// Which parts of the subject are roles.
    pub roles: Option<String>,
}

// === impl Fields ===

impl Fields {
    /// Who the proxy says is asking; `None` when it says nothing, or is not one that may.
    pub(super) fn ask(
        &self,
        evidence: &Evidence<'_>,
        source: &Arc<Name>,
    ) -> Option<Result<Arc<Identity>, Flaw>> {
        let mut users = evidence.headers.get_all(&self.user).iter().filter(|_| evidence.trusted);
        let first = users.next().filter(|user| !user.is_empty())?;
        // A second one may come from the client, past a proxy that only adds its own.
        let only = if users.next().is_some() { Err(Flaw::Malformed) } else { Ok(first) };
        let subject = only.and_then(|it| {
            let text = std::str::from_utf8(it.as_bytes()).map_err(|_| Flaw::NoUser)?;
            user(text.to_owned())
        });
        let roles = self.roles.as_ref().into_iter().flat_map(|it| evidence.headers.get_all(it));
        let roles = roles.filter_map(|roles| roles.to_str().ok());
        let roles = roles.flat_map(|roles| roles.split([',', ' '])).map(str::trim);
        Some(subject.map(|subject| {
            let source = source.clone();
            Arc::new(Identity { subject, roles: words(roles), claims: Box::default(), source })
        }))
    }

    /// The fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.user).chain(&self.roles)
    }
}

// === impl Certificate ===

impl Certificate {
    /// Whom the certificate speaks of; `None` when there is none.
    pub(super) fn ask(
        &self,
        evidence: &Evidence<'_>,
        source: &Arc<Name>,
    ) -> Option<Result<Arc<Identity>, Flaw>> {
        let subject = evidence.certificate?;
        Some(self.of(subject, source).map(Arc::new))
    }

    fn of(&self, subject: &str, source: &Arc<Name>) -> Result<Identity, Flaw> {
        let parts = attributes(subject).ok_or(Flaw::Malformed)?;
        let all = |wanted: &str| -> Vec<&str> {
            let named = parts.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.map(|(_, value)| value.as_str()).collect()
        };
        let subject = match &self.user {
            None => user(subject.to_owned())?,
            Some(wanted) => match *all(wanted) {
                [one] => user(one.to_owned())?,
                // Which of two names is meant is not for usher to guess.
                _ => return Err(Flaw::NoUser),
            },
        };
        let roles = self.roles.as_ref().map(|wanted| words(all(wanted).into_iter()));
        let (roles, claims) = (roles.unwrap_or_default(), Box::default());
        Ok(Identity { subject, roles, claims, source: source.clone() })
    }
}

/// The attributes of a subject as RFC 4514 §2 writes it: `CN=ops,OU=a+OU=b,O=Shop\, Ltd`.
fn attributes(subject: &str) -> Option<Vec<(String, String)>> {
    let mut parts = Vec::new();
    let (mut name, mut text) = (None, Vec::new());
    let mut bytes = subject.bytes();
    loop {
        let byte = bytes.next();
        match (byte, &name) {
            (None | Some(b',' | b'+'), Some(_)) => {
                let value = String::from_utf8(std::mem::take(&mut text)).ok()?;
                parts.push((name.take()?, value));
                if byte.is_none() {
                    return Some(parts);
                }
            }
            (None | Some(b',' | b'+'), None) => return None,
            (Some(b'='), None) => {
                name = Some(String::from_utf8(std::mem::take(&mut text)).ok()?);
            }
            (Some(b'\\'), _) => text.push(unescaped(&mut bytes)?),
            (Some(byte), _) => text.push(byte),
        }
    }
}

/// What stands behind a back-slash: a byte in hex, or the character itself.
fn unescaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let first = bytes.next()?;
    match digit(first) {
        None => Some(first),
        Some(upper) => u8::try_from(upper * 16 + digit(bytes.next()?)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_certificate_is_read_as_it_is_written() {
        let parsed = |subject| {
            let parts = attributes(subject)?;
            Some(parts.iter().map(|(n, v)| format!("{n}:{v}")).collect::<Vec<_>>().join("|"))
        };
        assert_eq!(parsed("CN=ops,O=Shop").as_deref(), Some("CN:ops|O:Shop"));
        assert_eq!(parsed(r"CN=a\,CN\=root,O=x").as_deref(), Some("CN:a,CN=root|O:x"));
        assert_eq!(parsed(r"CN=M\c3\bcller+OU=a").as_deref(), Some("CN:Müller|OU:a"));
        assert_eq!(parsed("CN=a=b").as_deref(), Some("CN:a=b"));
        for broken in ["", "CN", "CN=a,", r"CN=a\", r"CN=\ff", r"CN=\c"] {
            assert_eq!(parsed(broken), None, "{broken}");
        }
    }

    #[test]
    fn one_name_is_a_user_and_two_are_nobody() {
        let by = |user: Option<&str>, subject: &str| {
            let roles = Some("OU".to_owned());
            let certificate = Certificate { user: user.map(str::to_owned), roles };
            let source = Arc::new(Name::parse("client_cert").expect("a name"));
            let found = certificate.of(subject, &source);
            found.map(|it| format!("{} {}", it.subject, it.roles.join("+")))
        };
        assert_eq!(by(Some("CN"), "CN=ops,OU=a,OU=b").as_deref(), Ok("ops a+b"));
        assert_eq!(by(Some("cn"), "CN=ops").as_deref(), Ok("ops "));
        assert_eq!(by(None, "CN=ops,O=Shop").as_deref(), Ok("CN=ops,O=Shop "));
        assert_eq!(by(Some("CN"), "CN=ops,CN=root"), Err(Flaw::NoUser));
        assert_eq!(by(Some("CN"), "O=Shop"), Err(Flaw::NoUser));
        assert_eq!(by(Some("CN"), "CN="), Err(Flaw::NoUser));
    }
}
