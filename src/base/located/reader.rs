//! serde over a located tree: errors know where they happened, and never repeat a value.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{Entry, Finding, Node, Place, Value, nearest};

/// Why a type could not be read from a tree.
#[derive(Debug)]
pub struct Fault {
    place: Option<Place>,
    what: What,
}

#[derive(Debug)]
enum What {
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownWord { word: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

impl Fault {
    fn of(what: What) -> Self {
        Self { place: None, what }
    }

    /// Says where, unless something further inside has said so.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// The unknown key and where it stands, where that is what is wrong.
    pub(super) fn unknown_key(&self) -> Option<(&str, &Place)> {
        match (&self.what, &self.place) {
            (What::UnknownKey { key, .. }, Some(place)) => Some((key, place)),
            _ => None,
        }
    }

    /// The key that was probably meant by an unknown one.
    pub(super) fn nearest(&self) -> Option<&'static str> {
        match &self.what {
            What::UnknownKey { key, known } => nearest(key, known.iter().copied()),
            _ => None,
        }
    }

    /// As somebody who wrote the file gets it.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let nowhere = Place { file: "".into(), line: 0, column: 0 };
        let place = self.place.as_ref().unwrap_or(&nowhere);
        let choose = |word: &str, known: &[&'static str]| match nearest(word, known.iter().copied()) {
            Some(meant) => format!("Did you mean '{meant}'? There are: {}.", known.join(", ")),
            None if known.is_empty() => "Take it out.".to_owned(),
            None => format!("There are: {}.", known.join(", ")),
        };
        match &self.what {
            What::UnknownKey { key, known } => {
                place.finding(format!("unknown key '{}'", key.escape_debug()), choose(key, known))
            }
            What::UnknownWord { word, known } => {
                place.finding(format!("unknown word '{}'", word.escape_debug()), choose(word, known))
            }
            What::MissingKey(key) => place.finding(format!("'{key}' is missing"), format!("Add '{key}'.")),
            What::Other(message) => place.finding(message.clone(), "Write it as the message says."),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.finding(), f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(What::Other(format!("{} where {expected} is wanted", sort_of(&found))))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of(What::Other(format!("this {} is not {expected}", sort_of(&found))))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::UnknownKey { key: key.to_owned(), known })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::of(What::UnknownWord { word: word.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(What::MissingKey(key))
    }
}

/// The type alone: a value may be secret.
fn sort_of(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => {
            "a number (put text in quotes)"
        }
        Unexpected::Str(_) | Unexpected::Char(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "keys and values",
        _ => "something",
    }
}

/// Reads from a node.
pub struct Reader<'a>(pub &'a Node);

impl<'a> Reader<'a> {
    fn variable(&self) -> Option<&'a str> {
        match &self.0.value {
            Value::Variable(_) => self.0.text(),
            _ => None,
        }
    }

    fn parsed<T: std::str::FromStr>(&self, wanted: &str) -> Option<Result<T, Fault>> {
        let parse =
            |text: &str| text.trim().parse().map_err(|_| de::Error::custom(format!("{wanted} is wanted")));
        self.variable().map(|text| parse(text).map_err(|fault: Fault| fault.at(&self.0.place)))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let outcome = match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(it) => visitor.visit_bool(*it),
            Value::Int(it) => visitor.visit_i64(*it),
            Value::Float(it) => visitor.visit_f64(*it),
            Value::Text(it) => visitor.visit_borrowed_str(it),
            Value::Variable(it) => visitor.visit_str(it.expose_text().unwrap_or_default()),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Keys { rest: entries.iter(), value: None }),
        };
        outcome.map_err(|fault| fault.at(&self.0.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.parsed("true or false") {
            Some(it) => visitor.visit_bool(it?),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.parsed("a whole number") {
            Some(it) => visitor.visit_u32(it?),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(text) = self.variable() else { return self.deserialize_any(visitor) };
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
        visitor
            .visit_seq(de::value::SeqDeserializer::new(items.into_iter()))
            .map_err(|fault: Fault| fault.at(&self.0.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let place = &self.0.place;
        match self.0.text() {
            Some(word) => {
                visitor.visit_enum(word.into_deserializer()).map_err(|fault: Fault| fault.at(place))
            }
            None => Err(<Fault as de::Error>::custom("a word is wanted here").at(place)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(node)).map(Some).map_err(|fault| fault.at(&node.place))
    }
}

struct Keys<'a> {
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Keys<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(&entry.node);
        let key = de::value::BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|fault: Fault| fault.at(&entry.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let node = self.value.take().ok_or_else(|| <Fault as de::Error>::custom("a value without a key"))?;
        seed.deserialize(Reader(node)).map_err(|fault| fault.at(&node.place))
    }
}
