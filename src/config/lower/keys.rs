//! Keys out of files and variables. No message shows anything of what they hold.

use std::{fs::File, io::Read as _, path::Path};

use super::identity::exactly_one;
use crate::{
    config::document::{At, FilePath, Many, Reader, TokenKey},
    identity::{Algorithm, Family, KEYS_MAX, Key, KeyError, key_set},
};

/// The largest file with keys, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// All keys of a list.
pub(super) fn lower(
    list: &At<Many<TokenKey>>,
    algorithms: &[Algorithm],
    reader: &mut Reader,
) -> Vec<Key> {
    if list.value.empty {
        let hint = "write for example `- { pem: jwt.pem }`";
        reader.error_with(list.span, "there is no key in here", hint);
    }
    let lists = list.value.items.iter().filter_map(|at| keys(at, algorithms, reader));
    let keys: Vec<Key> = lists.flatten().collect();
    super::bounded(keys.len(), KEYS_MAX, "keys", list.span, reader);
    let secret = keys.iter().any(|key| key.family() == Family::Secret);
    let public = keys.iter().any(|key| key.family() != Family::Secret);
    if secret && public {
        let message = "whoever holds the secret can sign as well as whoever holds the private key";
        reader.warn(list.key, message, "make two sources of it, with a `name:` each");
    }
    keys
}

fn keys(at: &At<TokenKey>, algorithms: &[Algorithm], reader: &mut Reader) -> Option<Vec<Key>> {
    let written: Vec<&str> = at.value.written.iter().copied().filter(|it| *it != "id").collect();
    exactly_one(&written, at.span, "{ pem: jwt.pem }", reader)?;
    let TokenKey { pem, jwks, secret_file, secret_env, id, .. } = &at.value;
    if let (Some(_), Some(id)) = (jwks, id) {
        reader.error_with(id.key, "the keys of a set have names of their own", "take `id` out");
    }
    let called = |key: Key| match id {
        Some(id) => vec![key.called(&id.value.0)],
        None => vec![key],
    };
    let (span, made) = if let Some(at) = pem {
        (at.span, Key::pem(&file(at, reader)?, algorithms).map(called))
    } else if let Some(at) = jwks {
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
        let what = [pem, jwks, secret_file].into_iter().flatten().next();
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

fn hint(error: KeyError) -> Option<&'static str> {
    match error {
        KeyError::ShortSecret => Some("`openssl rand -hex 32` makes one"),
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
