//! Exports for other programs than ours: a table, and events. NDJSON is the one that is verified; each of
//! these says which checkpoint it was made under, whether entries were left out, and where it ends.

mod ocsf;

use std::str::FromStr;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Checkpoint, csv::row, read::Entry};
use crate::base::{Problem, Result, Timestamp};

pub use ocsf::{Class, class_of};

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Entries with leaves, openings and proofs: what `portctl audit verify --file` takes.
    #[default]
    Ndjson,
    /// A table (RFC 4180), an entry a row.
    Csv,
    /// Events of CloudEvents 1.0 around those of OCSF, one structured JSON object a line.
    CloudEvents,
    /// Events of OCSF, one JSON object a line.
    Ocsf,
}

impl FromStr for Format {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "cloudevents" => Ok(Self::CloudEvents),
            "ocsf" => Ok(Self::Ocsf),
            _ => Err(Problem::invalid("an export has no such format")
                .remedy("Say format=ndjson, csv, cloudevents or ocsf.")),
        }
    }
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson | Self::CloudEvents | Self::Ocsf => "application/x-ndjson",
        }
    }
}

/// What an export is bound to.
pub(super) struct Bound<'e> {
    pub(super) checkpoint: &'e Checkpoint,
    pub(super) filtered: bool,
    pub(super) filter: Value,
}

/// The columns of the table.
const COLUMNS: &[&str] = &[
    "index",
    "time",
    "actor",
    "action",
    "kind",
    "decision",
    "subject",
    "resource",
    "at",
    "scope",
    "request",
    "reason",
    "network",
    "payload",
    "forgotten",
    "missing",
];

impl Format {
    /// What comes before the entries; `note` is the signed checkpoint.
    pub(super) fn begin(self, note: &str, bound: &Bound<'_>) -> String {
        let said = json!({
            "checkpoint": note,
            "filtered": bound.filtered,
            "filter": bound.filter,
        });
        if self == Self::Csv {
            let (size, filter) = (bound.checkpoint.size.to_string(), bound.filter.to_string());
            let filtered = if bound.filtered { "yes: nothing is said of what is not here" } else { "no" };
            return [
                row(&["# export of the log", &bound.checkpoint.origin]),
                row(&["# entries that were signed", &size]),
                row(&["# signed checkpoint (base64)", &BASE64.encode(note.as_bytes())]),
                row(&["# filtered", filtered]),
                row(&["# filter", &filter]),
                row(COLUMNS),
            ]
            .concat();
        }
        self.edge("export-began", &said, bound)
    }

    /// One entry.
    pub(super) fn entry(self, entry: &Entry, bound: &Bound<'_>) -> String {
        if self == Self::Csv {
            return table_row(entry);
        }
        let origin = &bound.checkpoint.origin;
        let subject = entry.resource.as_ref().or(entry.at.as_ref()).or(entry.subject.as_ref());
        let kind = Kind { name: &entry.action, id: entry.index.to_string(), subject, time: entry.time };
        self.event(&kind, origin, ocsf::event(entry, origin))
    }

    /// What comes after the entries: without it, the export was cut off.
    pub(super) fn end(self, entries: u64, bound: &Bound<'_>) -> String {
        if self == Self::Csv {
            return row(&["# end; entries above", &entries.to_string()]);
        }
        self.edge("export-ended", &json!({ "entries": entries }), bound)
    }

    /// An event of the export itself: its time is that of nothing, so it has none but the checkpoint's size.
    fn edge(self, name: &'static str, said: &Value, bound: &Bound<'_>) -> String {
        let Checkpoint { origin, size, .. } = bound.checkpoint;
        let kind = Kind { name, id: format!("{size}/{name}"), subject: None, time: Timestamp::EPOCH };
        self.event(&kind, origin, ocsf::edge(name, said, origin))
    }

    fn event(self, kind: &Kind<'_>, origin: &str, data: Value) -> String {
        let event = if self == Self::CloudEvents { kind.around(origin, &data) } else { data };
        format!("{event}\n")
    }
}

/// What an event is called by.
struct Kind<'e> {
    name: &'e str,
    id: String,
    subject: Option<&'e String>,
    time: Timestamp,
}

impl Kind<'_> {
    /// The attributes of CloudEvents 1.0 (section 3) around data.
    fn around(&self, origin: &str, data: &Value) -> Value {
        let mut event = json!({
            "specversion": "1.0",
            "id": format!("{origin}/{}", self.id),
            "source": format!("//{origin}"),
            "type": format!("port-control.{}", self.name),
            "datacontenttype": "application/json",
            "data": data,
        });
        if self.time != Timestamp::EPOCH {
            event["time"] = self.time.to_string().into();
        }
        // The attribute may not be empty.
        if let Some(subject) = self.subject.filter(|it| !it.is_empty()) {
            event["subject"] = subject.as_str().into();
        }
        event
    }
}

fn table_row(entry: &Entry) -> String {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let payload = if entry.payload.is_empty() { String::new() } else { json!(entry.payload).to_string() };
    let cells = [
        entry.index.to_string(),
        entry.time.to_string(),
        text(&entry.actor),
        entry.action.clone(),
        entry.kind.clone(),
        entry.decision.clone(),
        text(&entry.subject),
        text(&entry.resource),
        text(&entry.at),
        text(&entry.scope),
        text(&entry.request),
        text(&entry.reason),
        text(&entry.network),
        payload,
        entry.forgotten.join(" "),
        entry.missing.join(" "),
    ];
    row(&cells.iter().map(String::as_str).collect::<Vec<_>>())
}
