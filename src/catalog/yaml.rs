//! YAML text to located trees: bounded, several documents a file, no merge keys, `yes` is no boolean.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Location, Options, Spanned,
    options::{DuplicateKeyPolicy, MergeKeyPolicy},
};

use crate::base::located::{Entry, Finding, Node, Place, Value};

/// Nesting that no declaration needs, and that would cost the stack.
const DEEPEST: usize = 24;
/// Values in one file, aliases followed.
const MOST_NODES: usize = 200_000;

/// Parses the documents of a file, empty ones left out.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Node>, Finding> {
    let file: Arc<str> = file.into();
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| refused(&file, &error))?;
    Ok(documents
        .into_iter()
        .map(|document| node(&file, document))
        .filter(|node| !matches!(node.value, Value::Null))
        .collect())
}

fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_NODES,
            max_events: 4 * MOST_NODES,
            max_aliases: 1000,
            max_anchors: 1000,
            max_documents: 5000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_NODES,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 1000,
        },
    }
}

fn refused(file: &Arc<str>, error: &serde_saphyr::Error) -> Finding {
    let place = error
        .location()
        .map_or(Place { file: Arc::clone(file), line: 0, column: 0 }, |location| place(file, &location));
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    // The place is told by itself.
    let line = line.split_once(" at line ").map_or(line, |(message, _)| message);
    let message: String = line.chars().take(300).flat_map(escaped).collect();
    place.finding(
        format!("not YAML that is taken here: {message}"),
        "Correct the spelling; merge keys, deep nesting and aliases that multiply are not taken.",
    )
}

/// Quotes stay; what could move a terminal does not.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let quote = matches!(c, '\'' | '"').then_some(c);
    let rest = if quote.is_some() { None } else { Some(c.escape_debug()) };
    quote.into_iter().chain(rest.into_iter().flatten())
}

fn place(file: &Arc<str>, location: &Location) -> Place {
    Place { file: Arc::clone(file), line: location.line(), column: location.column() }
}

fn node(file: &Arc<str>, spanned: Spanned<Raw>) -> Node {
    let place_of = |location: &Location| place(file, location);
    let place = place_of(&spanned.referenced);
    let value = match spanned.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(file, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    place: place_of(&key.referenced),
                    key: key.value,
                    node: node(file, value),
                })
                .collect(),
        ),
    };
    Node { place, value }
}

/// A value as the parser hands it over.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        // No declaration holds numbers this large; what matters is that it is a number and no text.
        Ok(Raw::Scalar(Value::Int(i64::try_from(value).unwrap_or(i64::MAX))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
