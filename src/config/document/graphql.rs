//! GraphQL operations, as they are written.

use super::{Off, OneOrMany, Or, Pattern, Size, document, identity::FieldName};
use crate::classify::Text;

document! {
    /// Where GraphQL requests say what they ask for.
    Graphql {
        /// Fields with the operation's name; X-Apollo-Operation-Name when left out.
        optional header: OneOrMany<FieldName>,
        /// Fields with the id of a document; X-Apollo-Operation-Id when left out.
        optional id_header: OneOrMany<FieldName>,
        /// The longest JSON body that is read to find either; `off` when left out.
        optional body: Or<Off, Size>,
    }
}

document! {
    /// A GraphQL operation, as the client says it.
    GraphqlMatcher {
        /// Its name.
        optional operation: OneOrMany<Pattern<Text>>,
        /// The id of the document that the application has kept.
        optional id: OneOrMany<Pattern<Text>>,
    }
}
