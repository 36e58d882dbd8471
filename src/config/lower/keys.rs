//! Keys out of files and variables. No message shows anything of what they hold.

use std::{fs::File, io::Read as _, net::IpAddr, path::Path, time::Duration};

use http::Uri;

use super::{dialect, identity::exactly_one};
use crate::{
    config::document::{At, FilePath, KeySet, Many, Reader, TokenKey},
    identity::{Algorithm, Family, IssuerSpec, KEYS_MAX, Key, KeyError, Keys, key_set},
};

/// The largest file with keys, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// How old published keys may become when nothing is written, and what can be written.
const REFRESH: Duration = Duration::from_secs(3600);
const REFRESH_MIN: Duration = Duration::from_secs(60);
const REFRESH_MAX: Duration = Duration::from_secs(24 * 3600);

/// The most URLs of a source: each is a label of metrics.
const ISSUERS_MAX: usize = 8;

/// The keys of a list, and where others are published.
#[derive(Default)]
pub(super) struct Lowered {
    pub(super) keys: Vec<Key>,
    pub(super) issuers: Vec<IssuerSpec>,
}

/// All keys of a list.
pub(super) fn lower(
    list: &At<Many<TokenKey>>,
    algorithms: &[Algorithm],
    reader: &mut Reader,
) -> Lowered {
    if list.value.empty {
        let hint = "write for example `- { pem: jwt.pem }`";
        reader.error_with(list.span, "there is no key in here", hint);
    }
    let mut lowered = Lowered::default();
    for at in &list.value.items {
        match lower_one(at, algorithms, reader) {
            None => {}
            Some(One::Keys(keys)) => lowered.keys.extend(keys),
            Some(One::Published(spec)) => {
                if lowered.issuers.iter().any(|it| it.url == spec.url) {
                    reader.error(at.span, format!("{} stands here twice", spec.shown()));
                }
                lowered.issuers.push(spec);
            }
        }
    }
    let Lowered { keys, issuers } = &lowered;
    super::bounded(keys.len(), KEYS_MAX, "keys", list.span, reader);
    super::bounded(issuers.len(), ISSUERS_MAX, "URLs with keys", list.span, reader);
    let secret = keys.iter().any(|key| key.family() == Family::Secret);
    let public = keys.iter().any(|key| key.family() != Family::Secret) || !issuers.is_empty();
    if secret && public {
        let message = "whoever holds the secret can sign as well as whoever holds the private key";
        reader.warn(list.key, message, "make two sources of it, with a `name:` each");
    }
    lowered
}

/// What one entry of a list stands for.
enum One {
    Keys(Vec<Key>),
    Published(IssuerSpec),
}

fn lower_one(at: &At<TokenKey>, algorithms: &[Algorithm], reader: &mut Reader) -> Option<One> {
    let beside = ["id", "refresh", "roots"];
    let written: Vec<&str> =
        at.value.written.iter().copied().filter(|it| !beside.contains(it)).collect();
    exactly_one(&written, at.span, "{ pem: jwt.pem }", reader)?;
    let TokenKey { jwks, id, refresh, roots, .. } = &at.value;
    if let (Some(_), Some(id)) = (jwks, id) {
        reader.error_with(id.key, "the keys of a set have names of their own", "take `id` out");
    }
    if let Some(At { value: KeySet::Url(url), span, key }) = jwks {
        let url = At { value: url.clone(), span: *span, key: *key };
        return published(&url, &at.value, algorithms, reader).map(One::Published);
    }
    let keys = [refresh.as_ref().map(|it| it.key), roots.as_ref().map(|it| it.key)];
    for key in keys.into_iter().flatten() {
        reader.error_with(key, "this belongs to `jwks` with a URL", "take it out");
    }
    own(&at.value, algorithms, reader).map(One::Keys)
}

/// Keys that are published at `url`.
fn published(
    url: &At<Uri>,
    written: &TokenKey,
    algorithms: &[Algorithm],
    reader: &mut Reader,
) -> Option<IssuerSpec> {
    let refresh = match &written.refresh {
        None => REFRESH,
        Some(at) if !(REFRESH_MIN..=REFRESH_MAX).contains(&at.value.0) => {
            reader.error(at.span, "keys are fetched between once a minute and once a day");
            return None;
        }
        Some(at) => at.value.0,
    };
    if !algorithms.is_empty() && algorithms.iter().all(|it| it.family() == Family::Secret) {
        let hint = "write one of `RS256`, `ES256`, `EdDSA`, or leave `algorithms` out";
        reader.error_with(url.span, "a secret that is published is none", hint);
    }
    let roots = match url.value.scheme_str() {
        Some("https") => Some(dialect::roots(written.roots.as_ref(), url.span, reader)?),
        _ => {
            if let Some(at) = &written.roots {
                reader.error_with(at.key, "plain HTTP shows no certificate", "write `https://`");
            }
            if !is_here(&url.value) {
                let message = "whoever stands between usher and this place can put keys of their \
                               own there, and be anybody";
                reader.warn(url.span, message, "write `https://`");
            }
            None
        }
    };
    let algorithms = algorithms.to_vec();
    let spec = IssuerSpec { url: url.value.clone(), refresh, roots, algorithms };
    match spec.tls() {
        Ok(_) => Some(spec),
        Err(error) => {
            reader.error(url.span, format!("no TLS can be spoken there: {error}"));
            None
        }
    }
}

/// Whether a URL leads to this very machine.
fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Keys out of a file or a variable.
fn own(written: &TokenKey, algorithms: &[Algorithm], reader: &mut Reader) -> Option<Vec<Key>> {
    let TokenKey { pem, jwks, secret_file, secret_env, id, .. } = written;
    let jwks = jwks.as_ref().and_then(|at| match &at.value {
        KeySet::File(path) => Some(At { value: path.clone(), span: at.span, key: at.key }),
        KeySet::Url(_) => None,
    });
    let called = |key: Key| match id {
        Some(id) => vec![key.called(&id.value.0)],
        None => vec![key],
    };
    let (span, made) = if let Some(at) = pem {
        (at.span, Key::pem(&file(at, reader)?, algorithms).map(called))
    } else if let Some(at) = &jwks {
        (at.span, key_set(&file(at, reader)?, algorithms))
    } else if let Some(at) = secret_file {
        (at.span, Key::secret(&trimmed(file(at, reader)?), algorithms).map(called))
    } else {
        let at = secret_env.as_ref()?;
        let Some(checked) = reader.variable(&at.value.0) else { return Some(Vec::new()) };
        let Some(secret) = checked else {
            reader.error(at.span, format!("the environment variable `{}` is not set", at.value.0));
            return None;
        };
        (at.span, Key::secret(secret.as_bytes(), algorithms).map(called))
    };
    made.map_err(|error| {
        let what = [pem, &jwks, secret_file].into_iter().flatten().next();
        let what = what.map_or_else(
            || format!("`{}`", secret_env.as_ref().map_or("", |at| &at.value.0)),
            |file| reader.path(file.span, &file.value.text).display().to_string(),
        );
        match hint(error) {
            Some(hint) => reader.error_with(span, format!("{what}: {error}"), hint),
            None => reader.error(span, format!("{what}: {error}")),
        }
    })
    .ok()
}

// === impl Lowered ===

impl Lowered {
    /// All of them.
    pub(super) fn into_keys(self) -> Keys {
        Keys::new(self.keys).with_issuers(self.issuers)
    }
}

fn hint(error: KeyError) -> Option<&'static str> {
    match error {
        KeyError::ShortSecret => Some("`openssl rand -hex 32` makes one"),
        KeyError::PrivateJwk => Some(
            "make the file anew without `d`, `p`, `q`, `dp`, `dq`, `qi` and `oth` of its keys: \
             what is left is public",
        ),
        KeyError::NoAlgorithm => Some("write one that fits, or leave `algorithms` out"),
        _ => None,
    }
}

/// What a file holds; it is part of what the configuration means.
pub(super) fn file(at: &At<FilePath>, reader: &mut Reader) -> Option<Vec<u8>> {
    let looked_at = reader.path(at.span, &at.value.text);
    reader.looked_at.push(looked_at);
    let path = reader.file_is_there(at.span, &at.value.text)?;
    match bounded(&path) {
        Ok(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => {
            reader.error(at.span, format!("{} is larger than 256 KiB", path.display()));
            None
        }
        Ok(bytes) => {
            reader.read.push(bytes.clone());
            Some(bytes)
        }
        Err(error) => {
            reader.error(at.span, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Without the end of the line that editors and `openssl rand` leave.
pub(super) fn trimmed(mut secret: Vec<u8>) -> Vec<u8> {
    let end = secret.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    secret.truncate(end.map_or(0, |end| end + 1));
    secret
}
