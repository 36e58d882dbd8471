//! What a GraphQL request asks for, and why usher may not see it.

use super::asked::Asked;
use crate::{
    classify::{Ask, Facts, Operation, Operations, Reading, operation_of_body},
    config::Config,
};

/// What `asked` asks for, as `usher run` finds it, and what to know about that; `None` where no
/// rule about operations can take it.
pub(super) fn operation(
    config: &Config,
    asked: &Asked,
    facts: &Facts<'_>,
) -> Option<(Operation, Option<String>)> {
    let operations = Operations::new(config.graphql.clone(), config.rules())?;
    let look = operations.look(facts)?;
    let body = asked.body.as_deref();
    let Some(ask) = look.body else {
        let silent = look.operation.shown().is_none() && body.is_some();
        let off = config.graphql.body_bytes_max.is_none();
        let note = "bodies are not asked for an operation: `graphql: { body: 64KiB }` does that";
        return Some((look.operation, (silent && off).then(|| note.to_owned())));
    };
    let (found, reading) = match (ask, body) {
        (Ask::Leave(reading), _) => (Operation::default(), reading),
        (Ask::Read(_), None) => {
            let note = "the body may name the operation: give it with `-d`";
            return Some((look.operation, Some(note.to_owned())));
        }
        (Ask::Read(max), Some(body)) if body.len() > max => (Operation::default(), Reading::Large),
        (Ask::Read(_), Some(body)) => operation_of_body(body.as_bytes()),
    };
    Some((look.operation.or(found), why_not(reading).map(str::to_owned)))
}

/// Why a body names no operation.
fn why_not(reading: Reading) -> Option<&'static str> {
    match reading {
        Reading::Found => None,
        Reading::Nameless => Some("the body names no operation"),
        Reading::Mixed => Some("the body is a batch of several operations, and counts for none"),
        Reading::Malformed => Some("the body is not JSON as GraphQL has it"),
        Reading::Large => Some("the body is longer than `graphql.body`, and not asked"),
        Reading::Encoded => Some("the body is compressed, and not asked"),
        Reading::NoRoom => Some("there is no memory for the body"),
    }
}
