//! TOML text to a located tree.

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::base::located::{Entry, Finding, Node, Place, Value};

/// Parses the text; `file` is what findings call it.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Finding> {
    let lines = Lines { file: file.into(), text };
    match DeTable::parse(text) {
        Ok(table) => Ok(Node { place: lines.place(0), value: lines.table(table.get_ref()) }),
        Err(error) => {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            // The message alone: the full text of the error quotes the line, which may hold anything.
            Err(place.finding(format!("not TOML: {}", error.message()), "Correct the spelling of this line."))
        }
    }
}

struct Lines<'t> {
    file: Arc<str>,
    text: &'t str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|&b| b == b'\n').count();
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        Place { file: Arc::clone(&self.file), line: line as u64, column: column as u64 }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                place: self.place(key.span().start),
                node: self.node(value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.place.line);
        Value::Map(entries)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(it) => Value::Text(it.to_string()),
            DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix())
                .map_or_else(|_| Value::Text(it.as_str().to_owned()), Value::Int),
            DeValue::Float(it) => Value::Float(it.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(it) => Value::Bool(*it),
            DeValue::Datetime(it) => Value::Text(it.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { place, value }
    }
}
