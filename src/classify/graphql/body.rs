//! The JSON of a GraphQL request, as Rails would read it.
//!
//! Of a key that stands twice the last counts, as it does to Ruby's parser. What is of another type
//! than clients send says nothing, and is passed over without recursion, however deep it is.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Operation, document};

/// Where clients put the id of a document that is kept, beside `extensions`: the specification of
/// GraphQL over HTTP, graphql-ruby, Relay's examples. The first that is there counts.
pub(super) const ID_KEYS: [&str; 4] = ["documentId", "operationId", "doc_id", "id"];

/// What one request of a body says.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    operation_name: Text<'a>,
    query: Text<'a>,
    extensions: Extensions<'a>,
    ids: [Text<'a>; ID_KEYS.len()],
}

/// A text that says something.
#[derive(Debug, Default)]
struct Text<'a>(Option<Cow<'a, str>>);

/// `extensions`, where Apollo's clients put the hash of a document, and those of graphql-ruby its
/// id.
#[derive(Debug, Default)]
struct Extensions<'a> {
    persisted_query: Persisted<'a>,
    operation_id: Text<'a>,
}

#[derive(Debug, Default)]
struct Persisted<'a> {
    hash: Text<'a>,
}

/// One request, or a batch of them.
struct Requests<'a>(Vec<Said<'a>>);

/// What is read from any JSON: what is of the wrong type is nothing.
trait Lenient<'de>: Default {
    fn text(_text: Cow<'de, str>) -> Self {
        Self::default()
    }

    fn entry<A: MapAccess<'de>>(&mut self, _key: &str, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(|_| ())
    }
}

struct LenientVisitor<T>(PhantomData<T>);

struct RequestsVisitor;

/// What the requests of `body` say; `None` where it is neither an object nor a list.
pub(super) fn parse(body: &[u8]) -> Option<Vec<Said<'_>>> {
    serde_json::from_slice::<Requests<'_>>(body).ok().map(|requests| requests.0)
}

/// The id in the parameter `extensions` of a target.
pub(super) fn id_of_extensions(text: &[u8]) -> Option<Box<str>> {
    serde_json::from_slice::<Extensions<'_>>(text).ok()?.id()
}

// === impl Said ===

impl Said<'_> {
    pub(super) fn operation(&self) -> Operation {
        let name = match self.operation_name.get() {
            Some(said) => super::name(said.as_bytes()),
            None => self.query.get().and_then(|text| document::sole_operation(text.as_bytes())),
        };
        let id = || self.ids.iter().find_map(Text::get);
        let id = self.extensions.id().or_else(|| id().and_then(|id| super::id(id.as_bytes())));
        Operation { name, id }
    }
}

impl<'de> Lenient<'de> for Said<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "operationName" => self.operation_name = map.next_value()?,
            "query" => self.query = map.next_value()?,
            "extensions" => self.extensions = map.next_value()?,
            key => match ID_KEYS.iter().position(|known| *known == key) {
                Some(at) => self.ids[at] = map.next_value()?,
                None => return map.next_value::<IgnoredAny>().map(|_| ()),
            },
        }
        Ok(())
    }
}

// === impl Text ===

impl Text<'_> {
    fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de> Lenient<'de> for Text<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(Some(text))
    }
}

// === impl Extensions ===

impl Extensions<'_> {
    fn id(&self) -> Option<Box<str>> {
        let said = self.persisted_query.hash.get().or_else(|| self.operation_id.get());
        said.and_then(|id| super::id(id.as_bytes()))
    }
}

impl<'de> Lenient<'de> for Extensions<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "persistedQuery" => self.persisted_query = map.next_value()?,
            "operationId" => self.operation_id = map.next_value()?,
            _ => return map.next_value::<IgnoredAny>().map(|_| ()),
        }
        Ok(())
    }
}

impl<'de> Lenient<'de> for Persisted<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "sha256Hash" => self.hash = map.next_value()?,
            _ => return map.next_value::<IgnoredAny>().map(|_| ()),
        }
        Ok(())
    }
}

// === impl Visitor ===

impl<'de, T: Lenient<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(Text(key)) = map.next_key()? {
            value.entry(key.as_deref().unwrap_or_default(), &mut map)?;
        }
        Ok(value)
    }
}

impl<'de> Visitor<'de> for RequestsVisitor {
    type Value = Requests<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Requests<'de>, A::Error> {
        Ok(Requests(vec![LenientVisitor(PhantomData).visit_map(map)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Requests<'de>, A::Error> {
        let mut requests = Vec::new();
        while let Some(one) = seq.next_element()? {
            requests.push(one);
        }
        Ok(Requests(requests))
    }
}

/// Has a type read with its leniency.
macro_rules! deserialize {
    ($($type:ident),+) => {$(
        impl<'de> Deserialize<'de> for $type<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LenientVisitor(PhantomData))
            }
        }
    )+};
}

deserialize!(Said, Text, Extensions, Persisted);

impl<'de> Deserialize<'de> for Requests<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestsVisitor)
    }
}
