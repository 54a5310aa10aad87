//! Text that people write, as a tree in which everything knows where it stands, so that each finding
//! names file and line, and all are told at once. YAML declarations and the TOML configuration share it.

mod reader;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use reader::{Fault, Reader};

use super::{Problem, ProblemKind, SecretValue};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; for a variable of the environment, its name.
    pub file: Arc<str>,
    /// The line, from 1; 0 where there is none.
    pub line: u64,
    /// The column, from 1; 0 where it is not known.
    pub column: u64,
}

/// Something that is wrong in what somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where there is none.
    pub line: u64,
    /// The column, from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Place {
    /// Says what is wrong here, and what to do about it.
    #[must_use]
    pub fn finding(&self, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    /// `teams.yaml:3:7: what is wrong`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The problem that tells findings, the first of them in words.
#[must_use]
pub fn with_findings(kind: ProblemKind, what: &str, mut findings: Vec<Finding>) -> Problem {
    findings.sort();
    findings.dedup();
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    let others = match findings.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let remedy = findings.first().map(|it| it.remedy.clone()).unwrap_or_default();
    let members = serde_json::to_value(&findings).unwrap_or_default();
    Problem::new(kind, format!("{what}: {first}{others}")).remedy(remedy).with("findings", members)
}

/// One value and where it stands.
#[derive(Clone)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A key of a map with its value.
#[derive(Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

/// A value.
#[derive(Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A variable of the environment: text that is read as whatever is wanted, and may be secret.
    Variable(SecretValue),
    /// A list.
    List(Vec<Node>),
    /// Keys and values as they were written, repeated keys among them.
    Map(Vec<Entry>),
}

impl Node {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|it| it.key == key).map(|it| &it.node)
    }

    /// Keys and values; none where it is no map.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Variable(text) => text.expose_text(),
            _ => None,
        }
    }

    /// Where the value at a path stands: keys, and indices of lists as numbers. Where the path ends
    /// early, as far as it goes.
    #[must_use]
    pub fn place_of(&self, path: &[&str]) -> &Place {
        let Some((first, rest)) = path.split_first() else { return &self.place };
        let next = match &self.value {
            Value::List(items) => first.parse().ok().and_then(|index: usize| items.get(index)),
            _ => self.get(first),
        };
        next.map_or(&self.place, |node| node.place_of(rest))
    }

    /// Takes repeated keys out, each with a finding.
    pub fn take_repeated(&mut self, findings: &mut Vec<Finding>) {
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.take_repeated(findings)),
            Value::Map(entries) => {
                let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
                for mut entry in entries.drain(..) {
                    if let Some(first) = kept.iter().find(|it| it.key == entry.key) {
                        findings.push(entry.place.finding(
                            format!("the key '{}' is here a second time", entry.key.escape_debug()),
                            format!("Keep one of the two; the first is on line {}.", first.place.line),
                        ));
                        continue;
                    }
                    entry.node.take_repeated(findings);
                    kept.push(entry);
                }
                *entries = kept;
            }
            _ => {}
        }
    }

    /// Gives the `key` at `place` (a variable is one place for a whole path) the name that was meant, or takes it out; whether it was there.
    fn mend_key(&mut self, key: &str, place: &Place, meant: Option<&str>) -> bool {
        match &mut self.value {
            Value::List(items) => items.iter_mut().any(|item| item.mend_key(key, place, meant)),
            Value::Map(entries) => {
                let Some(index) = entries.iter().position(|it| it.key == key && it.place == *place) else {
                    return entries.iter_mut().any(|it| it.node.mend_key(key, place, meant));
                };
                match meant {
                    Some(meant) if !entries.iter().any(|it| it.key == meant) => {
                        meant.clone_into(&mut entries[index].key);
                    }
                    _ => drop(entries.remove(index)),
                }
                true
            }
            _ => false,
        }
    }

    /// Reads a type from the tree. An unknown key does not hide the next: all are told.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read<T>(&self, read: impl Fn(Reader<'_>) -> Result<T, Fault>) -> Result<T, Vec<Finding>> {
        /// More unknown keys than this in one thing is a file of another sort.
        const MOST: usize = 20;
        let mut node = self.clone();
        let mut findings = Vec::new();
        loop {
            let fault = match read(Reader(&node)) {
                Ok(it) if findings.is_empty() => return Ok(it),
                Ok(_) => return Err(findings),
                Err(fault) => fault.at(&node.place),
            };
            findings.push(fault.finding());
            let goes_on =
                fault.unknown_key().is_some_and(|(key, place)| node.mend_key(key, place, fault.nearest()));
            if !goes_on || findings.len() >= MOST {
                return Err(findings);
            }
        }
    }
}

/// The known word that was probably meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|it| (strsim::osa_distance(&word.to_lowercase().replace('_', "-"), &it.replace('_', "-")), it))
        .filter(|(distance, it)| *distance <= (it.chars().count() / 3).max(1))
        .min()
        .map(|(_, it)| it)
}
