//! Why what a request carries proves nobody.

macro_rules! flaws {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal,)+) => {
        /// Why what a request carries proves nobody. The names are public and closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Flaw {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Flaw {
            /// Every flaw there is, in the order of their numbers.
            pub const ALL: &'static [Flaw] = &[$(Flaw::$variant,)+];

            /// The word of each, in the order of their numbers.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The word used in metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Flaw::$variant => $name,)+ }
            }

            /// One sentence, which holds nothing of what was sent.
            pub const fn sentence(self) -> &'static str {
                match self { $(Flaw::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

flaws! {
    /// It is longer than 8 KiB, and was not read.
    Oversized "oversized",
    /// It is not written as such tokens are.
    Malformed "malformed",
    /// It names a key that is not known here.
    UnknownKey "unknown_key",
    /// The keys of its issuer have not been fetched yet.
    NoKeys "no_keys",
    /// It names an algorithm that the key is not for.
    WrongAlgorithm "wrong_algorithm",
    /// It was not made with the key, or was changed since.
    BadSignature "bad_signature",
    /// Its time is over.
    Expired "expired",
    /// Its time has not come yet.
    NotYetValid "not_yet_valid",
    /// It says no end, and one is required.
    Endless "endless",
    /// It comes from another issuer.
    WrongIssuer "wrong_issuer",
    /// It was made for others.
    WrongAudience "wrong_audience",
    /// It was made for another purpose.
    WrongPurpose "wrong_purpose",
    /// What is inside is not JSON: Marshal and MessagePack are never read.
    NotJson "not_json",
    /// It names no user where one is looked for.
    NoUser "no_user",
}
