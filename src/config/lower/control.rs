//! Who may ask the operators' port: a port that cannot be protected is an error.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::place;
use crate::{
    bind::{Access, Bind},
    config::{
        Operators, Token, TokenSource,
        document::{self, At, Control, Many, Off, Or, Reader},
        secret,
        source::Span,
    },
};

/// Where the port is when nothing is written.
pub(super) const CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// The most tokens: each is compared with what is shown.
const TOKENS_MAX: usize = 64;

/// How to make a token.
const MAKE_ONE: &str = "`openssl rand -hex 32 > FILE` makes one";

/// Where the port is, who may connect to it, and who may ask.
pub(super) fn lower(
    at: Option<&At<Or<Off, Control>>>,
    reader: &mut Reader,
) -> (Option<Bind>, Access, Operators) {
    let (control, span) = match at {
        None => return (Some(CONTROL.into()), Access::OWNER, Operators::default()),
        Some(At { value: Or::Word(_), .. }) => return (None, Access::OWNER, Operators::default()),
        Some(At { value: Or::Value(control), span, .. }) => (control, *span),
    };
    let address =
        control.bind.as_ref().map_or_else(|| CONTROL.into(), |at| place::bind(at, reader));
    let written = (control.mode.as_ref(), control.group.as_ref());
    let access = control.bind.as_ref();
    let access = access.map(|at| place::access(at, written, Access::OWNER, reader));
    let access = access.unwrap_or(Access::OWNER);
    let tokens = control.tokens.as_ref().map(|at| tokens(at, reader)).unwrap_or_default();
    if !address.is_local() && control.tokens.is_none() {
        let span = control.bind.as_ref().map_or(span, |bind| bind.span);
        let message = format!(
            "the control port may not be at {address} without `tokens`: off loopback, whoever \
             reaches it could change what usher does"
        );
        let hint = "write `tokens: [{ name: oncall, role: operator, file: FILE }]`, or `bind: \
                    127.0.0.1:9900`";
        reader.error_with(span, message, hint);
    }
    if address.path().is_some() && access.is_open_to_all() && control.tokens.is_none() {
        let span = control.mode.as_ref().map_or(span, |mode| mode.span);
        let message = "without `tokens`, whoever has a login on this machine could change what \
                       usher does";
        let hint = "write `mode: 0660` and the operators' `group`, or `tokens`";
        reader.error_with(span, message, hint);
    }
    let audit = control.audit.as_ref().and_then(|audit| audit.value.path.as_ref()).map(|path| {
        let file = reader.path(path.span, &path.value.text);
        if let Some(parent) = file.parent() {
            reader.directory_is_there(path.span, parent);
        }
        file
    });
    (Some(address), access, Operators { tokens, audit })
}

fn tokens(at: &At<Many<document::Token>>, reader: &mut Reader) -> Vec<Token> {
    if at.value.empty {
        let hint = "name at least one, or take the key out";
        reader.error_with(at.span, "there is no token in here", hint);
    }
    super::bounded(at.value.items.len(), TOKENS_MAX, "tokens", at.key, reader);
    let mut tokens: Vec<(Token, Span)> = Vec::new();
    for item in &at.value.items {
        let (Some(name), Some(role)) = (&item.value.name, &item.value.role) else { continue };
        if let Some((_, first)) = tokens.iter().find(|(known, _)| known.name == name.value.name) {
            let place = reader.place(*first, name.span);
            let message = format!("token `{}` stands here twice, first {place}", name.value.shown);
            let hint = "give each its own name; several lines of one file are several tokens";
            reader.error_with(name.span, message, hint);
            continue;
        }
        if let Some(source) = source(&item.value, item.span, reader) {
            let token = Token { name: name.value.name.clone(), role: role.value.0, source };
            tokens.push((token, name.span));
        }
    }
    tokens.into_iter().map(|(token, _)| token).collect()
}

/// Where the token is read from, and whether there is one now.
fn source(token: &document::Token, span: Span, reader: &mut Reader) -> Option<TokenSource> {
    match (&token.file, &token.env) {
        (Some(file), None) => {
            let path = reader.file_is_there(file.span, &file.value.text)?;
            if reader.files_checked {
                let read = fs::read_to_string(&path).map_err(|error| error.to_string());
                let usable = read.and_then(|text| usable(&text));
                complain(file.span, &path.display().to_string(), usable, reader);
            }
            Some(TokenSource::File(path))
        }
        (None, Some(variable)) => {
            let name = &variable.value.0;
            if let Some(checked) = reader.variable(name) {
                let usable = checked.map_or(Err("it is not set".to_owned()), |it| usable(&it));
                complain(
                    variable.span,
                    &format!("the environment variable `{name}`"),
                    usable,
                    reader,
                );
            }
            Some(TokenSource::Variable(name.clone()))
        }
        (Some(_), Some(env)) => {
            let message = "a token comes from `file` or from `env`, not from both";
            reader.error_with(env.key, message, "take one of them out");
            None
        }
        (None, None) if token.written.iter().any(|key| matches!(*key, "file" | "env")) => None,
        (None, None) => {
            let hint = "write `file: FILE` or `env: VARIABLE`; a token does not stand in here";
            reader.error_with(span, "this token comes from nowhere", hint);
            None
        }
    }
}

fn usable(text: &str) -> Result<(), String> {
    secret::tokens(text).map(|_| ()).map_err(|error| error.to_string())
}

fn complain(span: Span, what: &str, usable: Result<(), String>, reader: &mut Reader) {
    if let Err(reason) = usable {
        reader.error_with(span, format!("{what} holds no token: {reason}"), MAKE_ONE);
    }
}
