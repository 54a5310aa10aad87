//! A range of the log in one file that proves itself: every entry with its openings, the few hashes that
//! hang them into the tree, and the signed checkpoint. Made a piece at a time.

use serde_json::json;

use super::{
    Log,
    archive::{Entries, Which},
    checkpoint::{Checkpoint, newest},
    forgotten::FORGOT,
    note::VerifierKey,
    opened::{EntryRow, ROWS, entry_altered},
    read::{NoteReading, line, nothing_signed},
    tile::{TreeReader, as_i64},
    verify::{
        ExportEnd, ExportHeader, ExportLine,
        range::{Range, cover},
    },
};
use crate::{
    base::{Problem, Result, hex},
    policy::{Action, Permit},
    store::{Database, Query},
};

/// Entries that are read at once.
const AT_ONCE: u64 = 256;

/// A bundle under way: lines of JSON, a piece at a time.
pub struct Bundle {
    database: Database,
    all: Entries,
    checkpoint: Checkpoint,
    header: Option<ExportHeader>,
    next: u64,
    to: u64,
    lines: u64,
    /// Where the search for entries goes on that say what was forgotten; nothing where it is over.
    said: Option<u64>,
}

impl Bundle {
    /// Begins a bundle of the entries from `from` to before `to`, else to the end of the newest checkpoint,
    /// which it is bound to. That it was made is recorded first.
    ///
    /// # Errors
    /// `invalid-request` where the range is none of what was signed; `conflict` where nothing was signed
    /// yet; else what recording answers.
    pub async fn begin(
        (database, all): (&Database, Entries),
        log: &Log,
        permit: Permit,
        keys: &[VerifierKey],
        (from, to): (u64, Option<u64>),
    ) -> Result<Self> {
        permit.expect(Action::ReadLog)?;
        let note = newest(database).await?.ok_or_else(nothing_signed)?;
        let checkpoint = Checkpoint::open_any(&note, keys)?;
        let to = to.unwrap_or(checkpoint.size);
        if from > to || to > checkpoint.size {
            let detail = format!("{from} to {to} is no range of a log of {} entries", checkpoint.size);
            return Err(Problem::invalid(detail).remedy("`from` is at most `to`, and `to` at most its size."));
        }
        let filter = json!({ "from": from, "to": to });
        log.perform(NoteReading { permit, action: "log.exported", filter }).await?;
        let range = range(database, checkpoint.size, from, to).await?;
        let header = Some(ExportHeader {
            port_control_export: 1,
            checkpoint: note,
            filtered: false,
            filter: json!({}),
            range: Some(range),
        });
        Ok(Self {
            database: database.clone(),
            all,
            checkpoint,
            header,
            next: from,
            to,
            lines: 0,
            said: Some(to),
        })
    }

    /// The next lines, each with its newline; nothing after the last.
    ///
    /// # Errors
    /// `log-altered`: then the bundle has no last line, and verifying it says that it is cut off.
    pub async fn next(&mut self) -> Result<Option<String>> {
        if let Some(header) = self.header.take() {
            return line(&header).map(Some);
        }
        if self.next < self.to {
            return self.entries().await.map(Some);
        }
        match self.said.take() {
            None => Ok(None),
            Some(from) => self.forgotten(from).await.map(Some),
        }
    }

    async fn entries(&mut self) -> Result<String> {
        let (rows, next) = self.all.next(&Which::All, self.next, self.to, AT_ONCE).await?;
        let mut lines = String::new();
        for row in &rows {
            lines.push_str(&entry(row, None, self.checkpoint.size)?);
        }
        self.lines += rows.len() as u64;
        self.next = next;
        Ok(lines)
    }

    /// What says, behind the range, that something in it was forgotten, which stays in the database; then
    /// the last line.
    async fn forgotten(&mut self, from: u64) -> Result<String> {
        let text = format!(
            "{ROWS} WHERE e.action = '{FORGOT}' AND e.idx >= $1 AND e.idx < $2 ORDER BY e.idx LIMIT {AT_ONCE}"
        );
        let rows = self.rows(text, from, self.checkpoint.size).await?;
        let mut lines = String::new();
        for row in &rows {
            let mut tree = TreeReader::new(&self.database, self.checkpoint.size);
            let proof = tree.inclusion(row.index()).await?;
            let proof = proof.iter().map(|hash| hex::encode(hash)).collect();
            lines.push_str(&entry(row, Some(proof), self.checkpoint.size)?);
        }
        self.lines += rows.len() as u64;
        match rows.last() {
            Some(last) if rows.len() as u64 == AT_ONCE => self.said = Some(last.index() + 1),
            _ => lines.push_str(&line(&ExportEnd { entries: self.lines })?),
        }
        Ok(lines)
    }

    async fn rows(&self, text: String, first: u64, end: u64) -> Result<Vec<EntryRow>> {
        let args = vec![as_i64(first).into(), as_i64(end).into()];
        Ok(self.database.fetch_all(Query::composed(text, args)).await?)
    }
}

fn entry(row: &EntryRow, proof: Option<Vec<String>>, size: u64) -> Result<String> {
    if row.open()?.forgotten.values().any(|by| *by >= size) {
        return Err(Problem::conflict("something was forgotten after the checkpoint of this bundle")
            .remedy("Take it again."));
    }
    let leaf =
        String::from_utf8(row.leaf.clone()).map_err(|_| entry_altered(row.index(), "it is no text"))?;
    line(&ExportLine { index: row.index(), leaf, openings: row.openings()?, proof })
}

pub(super) async fn range(database: &Database, size: u64, from: u64, to: u64) -> Result<Range> {
    let mut tree = TreeReader::new(database, size);
    let left = tree.subtrees(&cover(0, from)).await?;
    let right = tree.subtrees(&cover(to, size)).await?;
    let text = |hashes: Vec<super::Hash>| hashes.iter().map(|hash| hex::encode(hash)).collect();
    Ok(Range { from, to, left: text(left), right: text(right) })
}
