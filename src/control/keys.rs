//! Who may ask the control port: tokens as digests, renewed while usher runs.
//!
//! What is kept are SHA-256 digests, so that no token stands in memory longer than it takes to read
//! it. What somebody shows is digested as well and compared with each of them in constant time.
//!
//! Invariant: a token that cannot be read now is no token. A port that was bound off loopback never
//! answers without one, whatever a reload says.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use http::{HeaderMap, header::AUTHORIZATION};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    bind::Bind,
    config::{Role, Token, TokenSource, secret},
    name::Name,
};

/// The largest file of tokens: all that there may be, and their ends of lines.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Those who may ask.
#[derive(Debug)]
pub struct Keys {
    /// Whether nobody may ask without one: the port can be reached from elsewhere.
    demanded: bool,
    ring: Mutex<Ring>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token; none where none is asked for.
    pub token: Option<Name>,
    /// What may be asked.
    pub role: Role,
}

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token was shown.
    Missing,
    /// What was shown is none.
    Unknown,
}

#[derive(Debug, Default)]
struct Ring {
    configured: bool,
    keys: Vec<Key>,
    troubles: BTreeMap<Name, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    name: Name,
    role: Role,
    digests: Vec<[u8; 32]>,
}

// === impl Keys ===

impl Keys {
    /// Those of `tokens` that can be read, for a port that is bound to `bound`.
    pub fn new(bound: Option<&Bind>, tokens: &[Token]) -> Self {
        let demanded = bound.is_some_and(|bound| !bound.is_local());
        Self { demanded, ring: Mutex::new(Ring::read(tokens)) }
    }

    /// Reads `tokens` again. Says what is different, and what cannot be read any more.
    pub fn renew(&self, tokens: &[Token]) {
        let read = Ring::read(tokens);
        let mut ring = self.ring.lock();
        for (name, trouble) in &read.troubles {
            if ring.troubles.get(name) != Some(trouble) {
                tracing::warn!(token = %name, "a control token is of no use: {trouble}");
            }
        }
        for key in &read.keys {
            let known = ring.keys.iter().find(|known| known.name == key.name);
            if known != Some(key) {
                tracing::info!(token = %key.name, "a control token has changed");
            }
        }
        *ring = read;
    }

    /// Whether a token is asked for.
    pub fn are_asked_for(&self) -> bool {
        self.demanded || self.ring.lock().configured
    }

    /// Who asks with `headers`.
    ///
    /// # Errors
    ///
    /// A token is asked for, and none that is known was shown.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        if !self.are_asked_for() {
            return Ok(Caller { token: None, role: Role::Operator });
        }
        let shown = shown(headers).ok_or(Denied::Missing)?;
        self.ring.lock().holder(shown).ok_or(Denied::Unknown)
    }

    /// What is wrong with tokens now, a sentence each.
    pub fn troubles(&self) -> Vec<String> {
        let ring = self.ring.lock();
        let troubles = ring.troubles.iter();
        let mut troubles: Vec<String> = troubles
            .map(|(name, trouble)| format!("token {name} of the control port: {trouble}"))
            .collect();
        if self.demanded && !ring.configured {
            troubles.push(
                "the control port was bound off loopback and has no tokens any more: it refuses \
                 everybody until they are back or usher is restarted"
                    .to_owned(),
            );
        }
        troubles
    }
}

// === impl Ring ===

impl Ring {
    fn read(tokens: &[Token]) -> Self {
        let mut ring = Self { configured: !tokens.is_empty(), ..Self::default() };
        for token in tokens {
            match digests(&token.source) {
                Ok(digests) => {
                    let (name, role) = (token.name.clone(), token.role);
                    ring.keys.push(Key { name, role, digests });
                }
                Err(trouble) => {
                    ring.troubles.insert(token.name.clone(), trouble);
                }
            }
        }
        ring
    }

    /// Whose token `shown` is. Looks at all of them, so that the time it takes tells nothing.
    fn holder(&self, shown: &[u8]) -> Option<Caller> {
        let digest = digest(shown);
        let mut holder = None;
        for key in &self.keys {
            let mut fits = Choice::from(0);
            for known in &key.digests {
                fits |= known.ct_eq(&digest);
            }
            if bool::from(fits) && holder.is_none() {
                holder = Some(Caller { token: Some(key.name.clone()), role: key.role });
            }
        }
        holder
    }
}

// === free functions ===

/// The token of the only `Authorization`, which is a bearer's (RFC 6750 §2.1).
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let only = fields.next().filter(|_| fields.next().is_none())?.as_bytes();
    let (scheme, token) = only.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn digests(source: &TokenSource) -> Result<Vec<[u8; 32]>, String> {
    let text = match source {
        TokenSource::File(path) => read(path)?,
        TokenSource::Variable(name) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set"))?,
    };
    let tokens = secret::tokens(&text).map_err(|error| match source {
        TokenSource::File(path) => format!("{}: {error}", path.display()),
        TokenSource::Variable(name) => format!("the environment variable {name}: {error}"),
    })?;
    Ok(tokens.into_iter().map(|token| digest(token.as_bytes())).collect())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OLD: &str = "an-old-token-of-32-characters-00";
    const NEW: &str = "a-new-token-of-32-characters-000";

    fn with(authorization: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().expect("a value"));
        }
        headers
    }

    fn bearing(token: &str) -> HeaderMap {
        with(&[&format!("Bearer {token}")])
    }

    fn token(name: &str, role: Role, path: &Path) -> Token {
        let source = TokenSource::File(path.to_owned());
        Token { name: Name::parse(name).expect("a name"), role, source }
    }

    fn name_of(keys: &Keys, headers: &HeaderMap) -> Result<String, Denied> {
        let caller = keys.caller(headers)?;
        Ok(caller.token.map_or_else(String::new, |name| name.to_string()))
    }

    #[test]
    fn without_tokens_everybody_on_loopback_is_an_operator_and_nobody_elsewhere() {
        let here = Keys::new(Some(&Bind::Tcp(([127, 0, 0, 1], 1).into())), &[]);
        let caller = Caller { token: None, role: Role::Operator };
        assert_eq!(here.caller(&HeaderMap::new()), Ok(caller));
        let elsewhere = Keys::new(Some(&Bind::Tcp(([0, 0, 0, 0], 1).into())), &[]);
        assert_eq!(elsewhere.caller(&HeaderMap::new()), Err(Denied::Missing));
        assert_eq!(elsewhere.caller(&bearing(OLD)), Err(Denied::Unknown));
        assert!(elsewhere.troubles()[0].contains("refuses everybody"));
    }

    #[test]
    fn a_token_is_rotated_by_a_line_more_and_a_line_less() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let write = |text: &str| fs::write(&path, text).expect("it can be written");
        write(OLD);
        let tokens = [token("ci", Role::Viewer, &path)];
        let keys = Keys::new(None, &tokens);
        assert_eq!(name_of(&keys, &bearing(OLD)), Ok("ci".to_owned()));
        assert_eq!(name_of(&keys, &bearing(NEW)), Err(Denied::Unknown));
        write(&format!("{OLD}\n{NEW}\n"));
        assert_eq!(name_of(&keys, &bearing(NEW)), Err(Denied::Unknown), "not read again yet");
        keys.renew(&tokens);
        assert_eq!(name_of(&keys, &bearing(OLD)), Ok("ci".to_owned()));
        assert_eq!(name_of(&keys, &bearing(NEW)), Ok("ci".to_owned()));
        write(&format!("{NEW}\n"));
        keys.renew(&tokens);
        assert_eq!(name_of(&keys, &bearing(OLD)), Err(Denied::Unknown));
    }

    #[test]
    fn a_token_whose_file_has_gone_is_none_and_opens_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        fs::write(&path, OLD).expect("it can be written");
        let tokens = [token("oncall", Role::Operator, &path)];
        let keys = Keys::new(None, &tokens);
        for spoilt in [Some(""), Some("short"), None] {
            match spoilt {
                Some(text) => fs::write(&path, text).expect("it can be written"),
                None => fs::remove_file(&path).expect("it is there"),
            }
            keys.renew(&tokens);
            assert_eq!(keys.caller(&bearing(OLD)), Err(Denied::Unknown), "{spoilt:?}");
            assert_eq!(keys.caller(&HeaderMap::new()), Err(Denied::Missing), "{spoilt:?}");
            assert_eq!(keys.troubles().len(), 1, "{spoilt:?}");
        }
        fs::write(&path, OLD).expect("it can be written");
        keys.renew(&tokens);
        assert!(keys.caller(&bearing(OLD)).is_ok() && keys.troubles().is_empty());
    }

    #[test]
    fn only_one_bearer_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        fs::write(&path, OLD).expect("it can be written");
        let keys = Keys::new(None, &[token("ci", Role::Viewer, &path)]);
        let bearer = format!("Bearer {OLD}");
        assert!(keys.caller(&with(&[&format!("bearer  {OLD} ")])).is_ok());
        for wrong in [&[&*format!("Basic {OLD}")][..], &[&bearer, &bearer], &["Bearer"], &[OLD]] {
            assert_eq!(keys.caller(&with(wrong)), Err(Denied::Missing), "{wrong:?}");
        }
    }
}
