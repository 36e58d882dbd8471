//! Where GraphQL requests say what they ask for, and whether what rules ask of that makes sense.

use super::{LoweredAudience, LoweredRule};
use crate::{
    classify::{Matcher, Operations, Places, RuleSpec},
    config::{
        Config,
        document::{self, At, OneOrMany, Or, Reader},
        source::Span,
    },
};

/// The bounds of what is read of a body, in bytes: less says nothing, more is kept by too many
/// requests at a time.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 256..=1 << 20;

/// Lowers `graphql:`.
pub(super) fn lower(at: Option<&At<document::Graphql>>, reader: &mut Reader) -> Places {
    let default = Places::default();
    let Some(At { value: written, .. }) = at else { return default };
    let mut fields = |at: &Option<At<OneOrMany<_>>>, default| match at {
        None => default,
        Some(list) => {
            if list.value.empty {
                reader.error(list.span, "an empty list of fields");
            }
            list.value.items.iter().map(|at: &At<document::FieldName>| at.value.0.clone()).collect()
        }
    };
    let name_fields = fields(&written.header, default.name_fields);
    let id_fields = fields(&written.id_header, default.id_fields);
    let body_bytes_max = match &written.body {
        None | Some(At { value: Or::Word(_), .. }) => None,
        Some(At { value: Or::Value(size), span, .. }) => {
            if !BODY_BYTES.contains(&size.0) {
                reader.error(*span, "this size must lie between 256B and 1MiB");
            }
            usize::try_from(size.0).ok()
        }
    };
    Places { name_fields, id_fields, body_bytes_max }
}

/// Warns of what is allowed and probably not meant.
pub(crate) fn lint(
    config: &Config,
    audiences: &[LoweredAudience],
    written: Option<Span>,
    reader: &mut Reader,
) {
    audiences.iter().for_each(|audience| protects_nothing(audience, reader));
    let Some(span) = written else { return };
    // Rules stand in the configuration only once it is right.
    let taking = audiences.iter().flat_map(|it| it.rules.iter().map(|rule| &rule.spec));
    let rules = config.rules().chain(taking);
    let Some(operations) = Operations::new(config.graphql.clone(), rules) else {
        let message = "`graphql` has no effect: no rule asks for an operation";
        return reader.warn(span, message, "write `graphql: { operation: NAME }` in a rule");
    };
    if config.graphql.body_bytes_max.is_some() && operations.looks_everywhere() {
        let message = "JSON that is posted to any path is read before it is decided";
        let hint = "add `path: /graphql` to every rule with `graphql`";
        reader.warn(span, message, hint);
    }
}

/// What a client says of its own request keeps nobody out, and leads nobody past an `only`.
fn protects_nothing(audience: &LoweredAudience, reader: &mut Reader) {
    let LoweredAudience { audience, rules, name } = audience;
    if audience.only.is_empty() {
        return;
    }
    let asking =
        |LoweredRule { spec, .. }: &&LoweredRule| spec.all.iter().any(Matcher::asks_operation);
    if let Some(rule) = rules.iter().find(asking) {
        let message = format!(
            "`only` of `{}` can be evaded: who names another operation is not of it",
            audience.name
        );
        let hint = "match by `path` or `host` what `only` is to protect";
        reader.warn(rule.span, message, hint);
    }
    if audience.only.iter().any(rests_on_operation) {
        let message =
            format!("any client can pass the `only` of `{}`: it names an operation", audience.name);
        let hint = "ask for a `client`, `user`, `role` or `subject` as well";
        reader.warn(*name, message, hint);
    }
}

/// Whether nothing that is proved is asked beside the operation.
fn rests_on_operation(rule: &RuleSpec) -> bool {
    let proved = |matcher: &Matcher| {
        matcher.asks_identity() || matches!(matcher, Matcher::Client(_) | Matcher::Subject(_))
    };
    rule.all.iter().any(Matcher::asks_operation) && !rule.all.iter().any(proved)
}
