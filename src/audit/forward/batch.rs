//! A batch: a line that says what it is, then entries as an export has them.

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::{
    audit::{
        archive::{Entries, Which},
        opened::{EntryRow, entry_altered},
        tile::TreeReader,
        verify::ExportLine,
        witness::Stored,
    },
    base::{Problem, Result, hex},
    policy::{Action, Permit},
    store::Database,
};

/// Where a batch ends, in bytes; one entry is always in it.
const LONGEST: usize = 1024 * 1024;
/// How many entries are looked through for those that a filter lets pass.
const LOOKED_THROUGH: u64 = 20_000;

/// The first line of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardHeader {
    /// The version of the format: 1.
    pub port_control_forward: u8,
    /// The log's name.
    pub origin: String,
    /// Index of the first entry that it covers.
    pub first: u64,
    /// Index of the last one. Without a filter, every entry between the two is there.
    pub last: u64,
    /// A signed checkpoint that covers it.
    pub checkpoint: String,
    /// Whether entries were left out: then each line brings its own proof.
    pub filtered: bool,
    /// By what.
    pub filter: serde_json::Value,
}

/// Entries from `first` to before `end`.
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) end: u64,
    /// How many are in it; none where a filter let none through.
    pub(super) entries: u64,
    /// The lines.
    pub(super) body: String,
}

/// What is to be sent.
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    pub(super) origin: &'a str,
    pub(super) checkpoint: &'a Stored,
    pub(super) first: u64,
    /// Where the batch ended when it was sent before.
    pub(super) planned: Option<u64>,
}

/// Reads the next batch, of entries that the checkpoint covers; nothing where there are none.
///
/// # Errors
/// `log-altered` where an entry does not fit what lies beside it: nothing from there on is sent.
pub(super) async fn read(
    permit: Permit,
    (database, entries): (&Database, &Entries),
    wanted: &Wanted<'_>,
) -> Result<Option<Batch>> {
    permit.expect(Action::Forward)?;
    let Wanted { target, checkpoint, first, .. } = *wanted;
    let bound = wanted.planned.unwrap_or(first + LOOKED_THROUGH).min(checkpoint.size);
    if bound <= first {
        return Ok(None);
    }
    let limit = if wanted.planned.is_some() { bound - first } else { target.limit() };
    let rows = rows(entries, target, first..bound, limit).await?;
    let is_cut = rows.len() as u64 == limit;
    let mut end = if is_cut { rows.last().map_or(bound, |row| row.index() + 1) } else { bound };
    if wanted.planned.is_some() {
        end = bound;
    }
    let (mut lines, mut count) = (String::new(), 0);
    for row in &rows {
        let line = line(database, target, checkpoint.size, row).await?;
        if wanted.planned.is_none() && count > 0 && lines.len() + line.len() > LONGEST {
            end = row.index();
            break;
        }
        lines.push_str(&line);
        count += 1;
    }
    let body = header(wanted, end)? + &lines;
    Ok(Some(Batch { first, end, entries: count, body }))
}

async fn rows(
    entries: &Entries,
    target: &Target,
    range: std::ops::Range<u64>,
    limit: u64,
) -> Result<Vec<EntryRow>> {
    let (wanted, mut rows, mut next) = (Which::Fit(&target.filter), Vec::new(), range.start);
    while next < range.end && (rows.len() as u64) < limit {
        let (more, end) = entries.next(&wanted, next, range.end, limit - rows.len() as u64).await?;
        rows.extend(more);
        next = end;
    }
    Ok(rows)
}

fn header(wanted: &Wanted<'_>, end: u64) -> Result<String> {
    let filter = &wanted.target.filter;
    json_line(&ForwardHeader {
        port_control_forward: 1,
        origin: wanted.origin.to_owned(),
        first: wanted.first,
        last: end - 1,
        checkpoint: wanted.checkpoint.note.clone(),
        filtered: !filter.is_empty(),
        filter: serde_json::to_value(filter).unwrap_or_default(),
    })
}

async fn line(database: &Database, target: &Target, size: u64, row: &EntryRow) -> Result<String> {
    row.open()?;
    let proof = if target.filter.is_empty() {
        None
    } else {
        let hashes = TreeReader::new(database, size).inclusion(row.index()).await?;
        Some(hashes.iter().map(|hash| hex::encode(hash)).collect())
    };
    let leaf =
        String::from_utf8(row.leaf.clone()).map_err(|_| entry_altered(row.index(), "it is no text"))?;
    json_line(&ExportLine { index: row.index(), leaf, openings: row.openings()?, proof })
}

fn json_line(value: &impl Serialize) -> Result<String> {
    let text =
        serde_json::to_string(value).map_err(|e| Problem::internal(format!("writing a batch: {e}")))?;
    Ok(text + "\n")
}
