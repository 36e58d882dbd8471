//! Who is calling: what was written becomes sources that can be asked.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{LoweredAudience, keys, rails, view};
use crate::{
    classify::{Matcher, RuleSpec},
    config::{
        document::{
            self, At, IdentitySource, InvalidLeaf, Many, NameLeaf, Node, Reader, Wait, Words,
        },
        source::Span,
    },
    identity::{
        Certificate, Family, Fields, Identities, Key, Keys, Kind, Place, Signed, Source, Terms,
        Tokens,
    },
    name::Name,
};

/// The most sources: each is a label of metrics, and each may be asked for every request.
const SOURCES_MAX: usize = 16;

/// How far clocks may differ when nothing is written.
const LEEWAY: Duration = Duration::from_secs(30);

/// And the most that can be written.
const LEEWAY_MAX: Duration = Duration::from_secs(600);

/// Lowers `identity:`. `audiences` hold the rules, which say what is to be kept of claims.
pub(super) fn lower(
    sources: Option<&At<Many<IdentitySource>>>,
    written: &Node,
    audiences: &[LoweredAudience],
    reader: &mut Reader,
) -> Option<Arc<Identities>> {
    let sources = sources?;
    if sources.value.empty {
        let hint = "write a source, for example `- jwt: { keys: [{ pem: jwt.pem }] }`";
        reader.error_with(sources.span, "there is no source in here", hint);
    }
    super::bounded(sources.value.items.len(), SOURCES_MAX, "sources", sources.key, reader);
    let read_before = reader.read.len();
    let wanted = wanted(audiences);
    let mut names: Vec<(Name, Span)> = Vec::new();
    let mut lowered = Vec::new();
    for source in &sources.value.items {
        let Some((name, source)) = lower_source(source, &wanted, reader) else { continue };
        if let Some((_, first)) = names.iter().find(|(known, _)| *known == *source.name) {
            let place = reader.place(*first, name);
            let message = format!("two sources are called `{}`, the first {place}", source.name);
            reader.error_with(name, message, "give each a `name:` of its own");
        }
        names.push(((*source.name).clone(), name));
        lowered.push(source);
    }
    let digest = view::digest(
        written.value("identity"),
        reader.read[read_before..]
            .iter()
            .map(Vec::as_slice)
            .chain(wanted.iter().map(String::as_bytes)),
    );
    Some(Arc::new(Identities::new(lowered, digest)))
}

/// The claims that rules ask for.
fn wanted(audiences: &[LoweredAudience]) -> Arc<[String]> {
    let mut names = BTreeSet::new();
    for LoweredAudience { audience, rules, .. } in audiences {
        let scopes = audience.objectives.iter().flat_map(|objective| &objective.only);
        let rules = rules.iter().map(|rule| &rule.spec).chain(&audience.only).chain(scopes);
        for matcher in rules.flat_map(|rule: &RuleSpec| rule.all.iter().chain(&rule.not)) {
            if let Matcher::Claim(name, _) = matcher {
                names.insert(name.clone());
            }
        }
    }
    names.into_iter().collect()
}

/// A source, and where its name stands.
fn lower_source(
    at: &At<IdentitySource>,
    wanted: &Arc<[String]>,
    reader: &mut Reader,
) -> Option<(Span, Source)> {
    exactly_one(&at.value.written, at.span, "jwt: { keys: [{ pem: jwt.pem }] }", reader)?;
    let IdentitySource { jwt, cookie, rails_cookie, header, client_cert, .. } = &at.value;
    // Exactly one is there, or what was written could not be read.
    if let Some(at) = jwt {
        let kind = Kind::Tokens(tokens(at, wanted, reader)?);
        return Some(source("jwt", at.key, &at.value.name, &at.value.invalid, kind));
    }
    if let Some(at) = cookie {
        let kind = Kind::Signed(signed(at, wanted, reader)?);
        return Some(source("cookie", at.key, &at.value.name, &at.value.invalid, kind));
    }
    if let Some(at) = rails_cookie {
        let kind = Kind::Rails(rails::lower(at, wanted, reader)?);
        return Some(source("rails_cookie", at.key, &at.value.name, &at.value.invalid, kind));
    }
    if let Some(at) = header {
        let user = at.value.user.as_ref()?.value.0.clone();
        let roles = at.value.roles.as_ref().map(|at| at.value.0.clone());
        let kind = Kind::Fields(Fields { user, roles });
        return Some(source("header", at.key, &at.value.name, &at.value.invalid, kind));
    }
    let at = client_cert.as_ref()?;
    let text = |at: &Option<At<Words>>| at.as_ref().map(|at| at.value.0.clone());
    let user = text(&at.value.user).unwrap_or_else(|| "CN".to_owned());
    let user = (user != "subject").then_some(user);
    let kind = Kind::Certificate(Certificate { user, roles: text(&at.value.roles) });
    Some(source("client_cert", at.key, &at.value.name, &at.value.invalid, kind))
}

/// A source under the name that is written, or under that of its kind; and where that stands.
fn source(
    word: &str,
    key: Span,
    name: &Option<At<NameLeaf>>,
    invalid: &Option<At<InvalidLeaf>>,
    kind: Kind,
) -> (Span, Source) {
    let invalid = invalid.as_ref().map(|at| at.value.0).unwrap_or_default();
    let (name, span) = match name {
        Some(at) => (at.value.name.clone(), at.span),
        None => (Name::parse(word).expect("a kind is a name"), key),
    };
    (span, Source::new(name, invalid, kind))
}

fn signed(
    at: &At<document::IdentityCookie>,
    wanted: &Arc<[String]>,
    reader: &mut Reader,
) -> Option<Signed> {
    let written = &at.value;
    let list = written.keys.as_ref()?;
    let lowered = keys::lower(list, &[], reader);
    if !lowered.issuers.is_empty() {
        let message = "the keys of usher's own cookie are in files: nobody else publishes them";
        reader.error_with(list.span, message, "write `pem`, or `jwks` with a file");
    }
    let keys = lowered.keys;
    let fit = |key: &Key| matches!(key.family(), Family::Ed25519 | Family::P256);
    if !keys.iter().all(fit) {
        let message = "usher's own cookie is signed with Ed25519 or on P-256";
        reader.error_with(list.span, message, "`openssl genpkey -algorithm ed25519` makes a key");
    }
    let text = |at: &Option<At<Words>>, usual: &str| {
        at.as_ref().map_or_else(|| usual.to_owned(), |at| at.value.0.clone())
    };
    let terms = Terms {
        user: text(&written.user, "sub"),
        roles: Some(text(&written.roles, "roles")),
        leeway: leeway(written.leeway.as_ref(), reader),
        wanted: wanted.clone(),
        ..Terms::default()
    };
    Some(Signed::new(text(&written.cookie, "_usher_identity"), Keys::new(keys), terms))
}

fn tokens(at: &At<document::Jwt>, wanted: &Arc<[String]>, reader: &mut Reader) -> Option<Tokens> {
    let written = &at.value;
    let places = match &written.from {
        None => vec![Place::Header(http::header::AUTHORIZATION)],
        Some(places) => {
            if places.value.empty {
                let hint = "leave `from` out for `Authorization: Bearer`";
                reader.error_with(places.span, "there is no place in here", hint);
            }
            places.value.items.iter().filter_map(|at| place(at, reader)).collect()
        }
    };
    let algorithms: Vec<_> = match &written.algorithms {
        None => Vec::new(),
        Some(list) => list.value.items.iter().map(|at| at.value.0).collect(),
    };
    let keys = keys::lower(written.keys.as_ref()?, &algorithms, reader).into_keys();
    let texts = |at: &Option<At<document::OneOrMany<Words>>>| -> Vec<String> {
        let items = at.iter().flat_map(|at| &at.value.items);
        items.map(|at| at.value.0.clone()).collect()
    };
    let (issuers, audiences) = (texts(&written.issuer), texts(&written.audience));
    if issuers.is_empty() && audiences.is_empty() {
        let message = "tokens for any other service are taken here, if the same key signed them";
        reader.warn(at.key, message, "write the `audience` (`aud`) or the `issuer` (`iss`)");
    }
    let terms = Terms {
        user: written.user.as_ref().map_or_else(|| "sub".to_owned(), |at| at.value.0.clone()),
        roles: written.roles.as_ref().map(|at| at.value.0.clone()),
        issuers,
        audiences,
        leeway: leeway(written.leeway.as_ref(), reader),
        endless: written.expiry.as_ref().is_some_and(|at| !at.value.required),
        wanted: wanted.clone(),
    };
    Some(Tokens::new(places, keys, terms))
}

fn place(at: &At<document::TokenPlace>, reader: &mut Reader) -> Option<Place> {
    let place = &at.value;
    exactly_one(&place.written, at.span, "{ cookie: NAME }", reader)?;
    if let Some(header) = &place.header {
        return Some(Place::Header(header.value.0.clone()));
    }
    let named = [&place.cookie, &place.query, &place.protocol].into_iter().flatten().next()?;
    let text = named.value.0.clone();
    if text.is_empty() {
        reader.error(named.span, "nothing can be called so");
        return None;
    }
    Some(match (&place.cookie, &place.query) {
        (Some(_), _) => Place::Cookie(text),
        (None, Some(_)) => Place::Query(text),
        (None, None) => Place::Protocol(text),
    })
}

fn leeway(at: Option<&At<Wait>>, reader: &mut Reader) -> Duration {
    let Some(at) = at else { return LEEWAY };
    if at.value.0 > LEEWAY_MAX {
        reader.error(at.span, "clocks that differ by more than 10m have to be set");
    }
    at.value.0
}

/// Complains unless exactly one key is written.
pub(super) fn exactly_one(
    written: &[&str],
    span: Span,
    example: &str,
    reader: &mut Reader,
) -> Option<()> {
    match written {
        [_] => return Some(()),
        [] => {
            reader.error_with(span, "nothing stands here", format!("write for example `{example}`"))
        }
        [first, second, ..] => {
            let message = format!("`{first}` and `{second}` do not go together");
            reader.error_with(span, message, "make two entries of it");
        }
    }
    None
}
