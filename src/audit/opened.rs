//! An entry as readers get it: its leaf, with every commitment recomputed from what lies beside it.
//!
//! Search columns are an index only. They are held against the leaf and the openings here, so that an
//! altered one is never answered with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EntryKind, Opening, forgotten::PSEUDONYM, tile::altered};
use crate::base::{Problem, Result, hex};

/// The columns of [`EntryRow`], of `entries e LEFT JOIN openings o ON o.entry = e.idx`.
pub(super) const ROWS: &str = "SELECT e.idx, e.leaf, e.time, e.kind, e.action, e.decision, e.actor, \
     e.subject, e.application, e.environment, e.secret, e.scope, e.request, o.body \
     FROM entries e LEFT JOIN openings o ON o.entry = e.idx";

/// An entry with its search columns and its openings, as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct EntryRow {
    pub(super) idx: i64,
    pub(super) leaf: Vec<u8>,
    pub(super) time: i64,
    pub(super) kind: String,
    pub(super) action: String,
    pub(super) decision: String,
    pub(super) actor: String,
    pub(super) subject: Option<String>,
    pub(super) application: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) request: Option<String>,
    pub(super) body: Option<String>,
}

/// The leaf. Fields in alphabetical order: canonical as serde_json writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafV1 {
    /// What was done, dotted.
    pub action: String,
    /// SHA-256 commitments by field, in hexadecimal.
    pub commitments: BTreeMap<String, String>,
    /// `allow` or `deny`.
    pub decision: String,
    /// What sort of record it is.
    pub kind: EntryKind,
    /// Milliseconds since the Unix epoch.
    pub time: i64,
    /// 1.
    pub v: u8,
}

impl LeafV1 {
    /// Reads a leaf, which has one spelling only.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let leaf: Self = serde_json::from_slice(bytes).map_err(|_| "it is no entry of version 1")?;
        if leaf.v != 1 {
            return Err(format!("it is of version {}, which is not known here", leaf.v));
        }
        let written = serde_json::to_vec(&leaf).map_err(|e| e.to_string())?;
        if written == bytes { Ok(leaf) } else { Err("it is not spelled canonically".to_owned()) }
    }
}

/// What lies beside a commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Beside {
    /// What it commits to.
    Open(Opening),
    /// It was forgotten, as the entry of this index says.
    Forgotten {
        /// The index.
        forgotten: u64,
    },
}

/// What lies beside an entry, by field.
pub type Openings = BTreeMap<String, Beside>;

/// A leaf whose openings all fit.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The leaf.
    pub leaf: LeafV1,
    /// What its commitments commit to, by field.
    pub fields: BTreeMap<String, String>,
    /// Fields that were forgotten, with the entry that says so.
    pub forgotten: BTreeMap<String, u64>,
    /// Fields whose openings are not there.
    pub missing: Vec<String>,
}

impl Opened {
    /// Opens a leaf: recomputes each commitment.
    ///
    /// # Errors
    /// Says which does not fit.
    pub fn new(leaf: &[u8], openings: &Openings) -> Result<Self, String> {
        let leaf = LeafV1::read(leaf)?;
        if let Some(field) = openings.keys().find(|field| !leaf.commitments.contains_key(*field)) {
            return Err(format!(
                "an opening of '{}' lies beside it, which it does not commit to",
                printable(field)
            ));
        }
        let mut opened =
            Self { fields: BTreeMap::new(), forgotten: BTreeMap::new(), missing: Vec::new(), leaf };
        for (field, commitment) in &opened.leaf.commitments {
            match openings.get(field) {
                Some(Beside::Open(opening)) => {
                    let found = hex::encode(&opening.commitment(field));
                    if found != *commitment {
                        return Err(format!(
                            "the opening of '{}' commits to {found}, and the entry to {}",
                            printable(field),
                            printable(commitment)
                        ));
                    }
                    opened.fields.insert(field.clone(), opening.value.clone());
                }
                Some(Beside::Forgotten { forgotten }) => {
                    opened.forgotten.insert(field.clone(), *forgotten);
                }
                None => opened.missing.push(field.clone()),
            }
        }
        Ok(opened)
    }

    /// A field's value, where it is there.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The payload.
    ///
    /// # Errors
    /// Where it is no object.
    pub fn payload(&self) -> Result<serde_json::Map<String, Value>, String> {
        match self.field("payload").map(serde_json::from_str) {
            None => Ok(serde_json::Map::new()),
            Some(Ok(Value::Object(payload))) => Ok(payload),
            Some(_) => Err("its payload is no object".to_owned()),
        }
    }

    fn is_open(&self, field: &str) -> bool {
        !self.forgotten.contains_key(field) && !self.missing.iter().any(|it| it == field)
    }
}

fn printable(text: &str) -> String {
    text.chars().take(100).collect::<String>().escape_debug().to_string()
}

impl EntryRow {
    /// Its index in the log.
    pub(super) fn index(&self) -> u64 {
        u64::try_from(self.idx).unwrap_or(u64::MAX)
    }

    /// What lies beside it.
    pub(super) fn openings(&self) -> Result<Openings> {
        let Some(body) = &self.body else { return Ok(Openings::new()) };
        serde_json::from_str(body).map_err(|_| self.wrong("its openings cannot be read"))
    }

    /// Opens it and holds the search columns against it.
    ///
    /// # Errors
    /// `log-altered`, naming the entry and what does not fit.
    pub(super) fn open(&self) -> Result<Opened> {
        let opened = Opened::new(&self.leaf, &self.openings()?).map_err(|why| self.wrong(&why))?;
        self.compare(&opened)?;
        Ok(opened)
    }

    fn compare(&self, opened: &Opened) -> Result<()> {
        let leaf = &opened.leaf;
        self.same("time", Some(self.time.to_string()), Some(leaf.time.to_string()))?;
        self.same("kind", Some(self.kind.clone()), Some(leaf.kind.as_str().to_owned()))?;
        self.same("action", Some(self.action.clone()), Some(leaf.action.clone()))?;
        self.same("decision", Some(self.decision.clone()), Some(leaf.decision.clone()))?;
        if opened.is_open("actor") {
            self.same("actor", Some(self.actor.clone()), opened.field("actor").map(str::to_owned))?;
        }
        if opened.is_open("subject") {
            self.same("subject", self.subject.clone(), opened.field("subject").map(str::to_owned))?;
        }
        if opened.is_open("payload") {
            let payload = opened.payload().map_err(|why| self.wrong(&why))?;
            let said = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
            self.same("scope", self.scope.clone(), said("scope"))?;
            self.same("request", self.request.clone(), said("request"))?;
            self.same("application, environment, secret", self.place(), said("at"))?;
        }
        self.compare_forgotten(opened)
    }

    /// What was forgotten is in no search column, and who is, goes by a pseudonym.
    fn compare_forgotten(&self, opened: &Opened) -> Result<()> {
        let is_forgotten = |field: &str| opened.forgotten.contains_key(field);
        let names = |it: &str| !it.starts_with(PSEUDONYM);
        if is_forgotten("actor") && names(&self.actor) {
            return Err(self.wrong("its actor was forgotten, and its search column names one"));
        }
        if is_forgotten("subject") && self.subject.as_deref().is_none_or(names) {
            return Err(self.wrong("its subject was forgotten, and its search column names no pseudonym"));
        }
        if is_forgotten("payload") {
            self.same("scope", self.scope.clone(), None)?;
            self.same("request", self.request.clone(), None)?;
            self.same("application, environment, secret", self.place(), None)?;
        }
        Ok(())
    }

    /// The columns that say where, as the payload says it.
    pub(super) fn place(&self) -> Option<String> {
        place(self.application.as_deref(), self.environment.as_deref(), self.secret.as_deref())
    }

    fn same(&self, column: &str, stored: Option<String>, committed: Option<String>) -> Result<()> {
        if stored == committed {
            return Ok(());
        }
        let say = |it: Option<String>| {
            it.map_or_else(|| "nothing".to_owned(), |it| format!("'{}'", printable(&it)))
        };
        Err(self.wrong(&format!(
            "its search column {column} says {}, and the entry commits to {}",
            say(stored),
            say(committed)
        )))
    }

    fn wrong(&self, why: &str) -> Problem {
        entry_altered(self.index(), why)
    }
}

/// Where something was done, as one text; nothing where it was nowhere in particular.
pub(super) fn place(
    application: Option<&str>,
    environment: Option<&str>,
    secret: Option<&str>,
) -> Option<String> {
    let parts: Vec<&str> = [application, environment, secret].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The problem of one entry that is not what it was.
pub(super) fn entry_altered(index: u64, why: &str) -> Problem {
    altered(format!("entry {index} of the log was altered: {why}")).with("index", index)
}
