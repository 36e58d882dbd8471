//! By what a client is known again, as it is written.

use super::{OneOrMany, Switch, Wait, Words, document, identity::FieldName};

document! {
    /// By what a client is known again where nothing proves who asks.
    Sticky {
        /// Fields in which devices say who they are; the first that a request has counts.
        optional header: OneOrMany<FieldName>,
        /// The cookie that counts where a request has none of them.
        optional cookie: StickyCookie,
    }
}

document! {
    /// A cookie by which a browser is known again.
    StickyCookie {
        /// Its name; `_usher` when left out.
        optional name: Words,
        /// How long browsers keep it: 30d when left out, 400d at most.
        optional max_age: Wait,
        /// Whether usher sets it (`on` when left out), or the application does (`off`).
        optional set: Switch,
    }
}
