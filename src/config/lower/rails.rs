//! Cookies of Rails, and the keys to them.

use std::sync::Arc;

use super::{
    identity::exactly_one,
    keys::{file, trimmed},
};
use crate::{
    config::document::{self, At, Many, Reader},
    identity::{
        KEYS_MAX, RailsCookie, RailsDigest, RailsForm, RailsKey, RailsKeyError, RailsSalts, Terms,
    },
};

/// What is written of the cookies of Rails.
pub(super) fn lower(
    at: &At<document::RailsCookie>,
    wanted: &Arc<[String]>,
    reader: &mut Reader,
) -> Option<RailsCookie> {
    let written = &at.value;
    let form = written.form.as_ref().map(|at| at.value.0).unwrap_or_default();
    let keys = keys(written.keys.as_ref()?, form, reader);
    let terms = Terms {
        user: written.user.as_ref().map(|at| at.value.0.clone()).unwrap_or_default(),
        roles: written.roles.as_ref().map(|at| at.value.0.clone()),
        wanted: wanted.clone(),
        ..Terms::default()
    };
    let purpose_required = written.purpose.as_ref().is_none_or(|at| at.value.required);
    if !purpose_required {
        let at = written.purpose.as_ref()?;
        let message = "the value of any other cookie that is made with the same key is taken here";
        reader.warn(
            at.span,
            message,
            "write `required` once all cookies come from Rails 5.2 or later",
        );
    }
    Some(RailsCookie::new(written.cookie.as_ref()?.value.0.clone(), keys, terms, purpose_required))
}

fn keys(
    list: &At<Many<document::RailsKey>>,
    form: RailsForm,
    reader: &mut Reader,
) -> Vec<RailsKey> {
    if list.value.empty {
        let hint = "write for example `- { derived_file: session.key }`";
        reader.error_with(list.span, "there is no key in here", hint);
    }
    super::bounded(list.value.items.len(), KEYS_MAX / 2, "keys", list.span, reader);
    let keys = list.value.items.iter().filter_map(|at| key(at, form, reader));
    keys.flatten().collect()
}

/// The key, once for each digest that it may be derived with.
fn key(at: &At<document::RailsKey>, form: RailsForm, reader: &mut Reader) -> Option<Vec<RailsKey>> {
    let document::RailsKey {
        written,
        derived_file,
        derived_env,
        secret_key_base_file,
        secret_key_base_env,
        digest,
        salt,
        signed_salt,
    } = &at.value;
    let more = ["digest", "salt", "signed_salt"];
    let secrets: Vec<&str> = written.iter().copied().filter(|key| !more.contains(key)).collect();
    exactly_one(&secrets, at.span, "{ derived_file: session.key }", reader)?;
    let derived = derived_file.is_some() || derived_env.is_some();
    let (span, what, secret) =
        if let Some(at) = derived_file.as_ref().or(secret_key_base_file.as_ref()) {
            let what = reader.path(at.span, &at.value.text).display().to_string();
            (at.span, what, trimmed(file(at, reader)?))
        } else {
            let at = derived_env.as_ref().or(secret_key_base_env.as_ref())?;
            let name = &at.value.0;
            let Some(secret) = reader.variable(name)? else {
                reader.error(at.span, format!("the environment variable `{name}` is not set"));
                return None;
            };
            (at.span, format!("`{name}`"), secret.into_bytes())
        };
    if derived
        && let Some(span) = digest.as_ref().map(|at| at.key).or(salt.as_ref().map(|at| at.key))
    {
        reader.error(span, "a key that is derived already has neither digest nor salt any more");
    }
    let salts = salts(form, salt.as_ref(), signed_salt.as_ref());
    let made: Result<Vec<RailsKey>, RailsKeyError> = match (derived, digest) {
        (true, _) => RailsKey::derived(&secret, form).map(|key| vec![key]),
        (false, Some(at)) => {
            RailsKey::derive(&secret, form, at.value.0, &salts).map(|key| vec![key])
        }
        (false, None) => [RailsDigest::Sha256, RailsDigest::Sha1]
            .map(|digest| RailsKey::derive(&secret, form, digest, &salts))
            .into_iter()
            .collect(),
    };
    made.map_err(|error| reader.error(span, format!("{what}: {error}"))).ok()
}

fn salts(
    form: RailsForm,
    salt: Option<&At<document::Words>>,
    signed_salt: Option<&At<document::Words>>,
) -> RailsSalts {
    let mut salts = RailsSalts::default();
    if let Some(at) = salt {
        let place = match form {
            RailsForm::Gcm => &mut salts.gcm,
            RailsForm::Cbc => &mut salts.cbc,
            RailsForm::Signed => &mut salts.signed,
        };
        place.clone_from(&at.value.0);
    }
    if let Some(at) = signed_salt {
        salts.cbc_signed.clone_from(&at.value.0);
    }
    salts
}
