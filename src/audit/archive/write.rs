//! Writing a range to the archive, and believing only what was read back.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Archive, ranges};
use crate::{
    audit::{
        Checkpoint, VerifierKey,
        bundle::range,
        checkpoint::newest,
        forgotten::Spans,
        opened::{Beside, EntryRow, Openings, ROWS},
        read::nothing_signed,
        tile::{self, TreeReader, WIDTH, as_i64},
        verify::{
            ExportLine,
            archive::{ArchiveCheck, ArchivedOpenings, ArchivedTile, Manifest, Said},
        },
    },
    base::{Problem, ProblemKind, Result, Timestamp, hex},
    store::{Database, Query},
};

/// Writes to one archive from one database.
pub(super) struct Copy<'a> {
    pub(super) database: &'a Database,
    pub(super) archive: &'a Archive,
    pub(super) keys: &'a [VerifierKey],
}

/// What was written.
pub(super) struct Copied {
    /// Root of the tree up to the end of the range, in hexadecimal.
    pub(super) root: String,
    /// Times of the first and of the last entry.
    pub(super) times: (Timestamp, Timestamp),
}

impl Copy<'_> {
    /// Writes a range, reads it back and verifies it. Doing it again comes to the same.
    pub(super) async fn run(&self, (from, to): (u64, u64)) -> Result<Copied> {
        let mut said_by = BTreeSet::new();
        let mut times = (i64::MAX, i64::MIN);
        for number in from / WIDTH..to / WIDTH {
            let rows = self.rows(number).await?;
            times = rows.iter().fold(times, |(low, high), row| (low.min(row.time), high.max(row.time)));
            for row in &rows {
                said_by.extend(row.open()?.forgotten.into_values().filter(|by| !(from..to).contains(by)));
            }
            self.tile(number, &rows).await?;
        }
        let note = newest(self.database).await?.ok_or_else(nothing_signed)?;
        for by in said_by {
            self.said(by, &note).await?;
        }
        self.manifest((from, to), note).await?;
        self.verify((from, to)).await?;
        let root = TreeReader::new(self.database, to).root().await?;
        let times = (Timestamp::from_millis(times.0), Timestamp::from_millis(times.1));
        Ok(Copied { root: hex::encode(&root), times })
    }

    /// Takes away what was written of a range.
    pub(super) async fn discard(&self, (from, to): (u64, u64)) -> Result<()> {
        self.archive.delete(&Manifest::path(from, to)).await?;
        for number in from / WIDTH..to / WIDTH {
            for path in ArchivedTile::paths(number) {
                self.archive.delete(&path).await?;
            }
        }
        Ok(())
    }

    async fn rows(&self, number: u64) -> Result<Vec<EntryRow>> {
        let first = number * WIDTH;
        let text = format!("{ROWS} WHERE e.idx >= $1 AND e.idx < $2 ORDER BY e.idx");
        let args = vec![as_i64(first).into(), as_i64(first + WIDTH).into()];
        let rows: Vec<EntryRow> = self.database.fetch_all(Query::composed(text, args)).await?;
        match (first..first + WIDTH).zip(rows.iter()).find(|(index, row)| row.index() != *index) {
            None if rows.len() as u64 == WIDTH => Ok(rows),
            found => {
                let index = found.map_or(first + rows.len() as u64, |(index, _)| index);
                let detail = format!("entry {index} of the log is not there");
                Err(Problem::new(ProblemKind::LogIncomplete, detail).with("index", index))
            }
        }
    }

    async fn tile(&self, number: u64, rows: &[EntryRow]) -> Result<()> {
        let leaves: Vec<Vec<u8>> = rows.iter().map(|row| row.leaf.clone()).collect();
        let hashes = tile::hashes(self.database, 0, number, WIDTH).await?.unwrap_or_default();
        let mut beside = String::new();
        for row in rows {
            beside += &line(&ArchivedOpenings { index: row.index(), openings: row.openings()? })?;
        }
        let files = [tile::bundle(&leaves)?, hashes.concat(), beside.into_bytes()];
        for (path, bytes) in ArchivedTile::paths(number).iter().zip(files) {
            self.archive.write(path, bytes).await?;
        }
        Ok(())
    }

    /// What an entry outside of the archive says that was forgotten.
    pub(super) async fn said(&self, by: u64, note: &str) -> Result<()> {
        let checkpoint = Checkpoint::open_any(note, self.keys)?;
        let query = Query::composed(format!("{ROWS} WHERE e.idx = $1"), vec![as_i64(by).into()]);
        let row: Option<EntryRow> = self.database.fetch_optional(query).await?;
        let row = row.filter(|_| by < checkpoint.size).ok_or_else(nothing_signed)?;
        let proof = TreeReader::new(self.database, checkpoint.size).inclusion(by).await?;
        // What it says, and nothing of who said it: she may be forgotten herself.
        let openings: Openings = row.openings()?.into_iter().filter(|(name, _)| name == "payload").collect();
        let leaf = String::from_utf8(row.leaf).map_err(|_| Problem::internal("a leaf is text"))?;
        let proof = Some(proof.iter().map(|hash| hex::encode(hash)).collect());
        let entry = ExportLine { index: by, leaf, openings, proof };
        self.archive.write(&Said::path(by), line(&Said { checkpoint: note.to_owned(), entry })?.into()).await
    }

    async fn manifest(&self, (from, to): (u64, u64), note: String) -> Result<()> {
        let size = Checkpoint::open_any(&note, self.keys)?.size;
        let range = range(self.database, size, from, to).await?;
        let before = Some(self.before().await?).filter(|before| !before.is_empty());
        let manifest = Manifest { port_control_archive: 1, checkpoint: note, range, before };
        self.forget_others((from, to)).await?;
        self.archive.write(&Manifest::path(from, to), line(&manifest)?.into()).await
    }

    /// Manifests that a database wrote which was set back since: what they say of these entries is over.
    async fn forget_others(&self, (from, to): (u64, u64)) -> Result<()> {
        for path in self.archive.list("manifest").await? {
            let Some(range) = Manifest::range_of(&path) else { continue };
            if range.0 < to && from < range.1 && range != (from, to) {
                self.archive.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// What the same archive has already.
    async fn before(&self) -> Result<Spans> {
        Ok(ranges::spans(&ranges::all(self.database).await?))
    }

    async fn verify(&self, (from, to): (u64, u64)) -> Result<()> {
        let mut check = ArchiveCheck::after(self.before().await?);
        check.range(&self.read(&Manifest::path(from, to)).await?, (from, to), self.keys)?;
        while let Some(number) = check.wanted() {
            check.take(&self.read_tile(number).await?)?;
        }
        for by in check.unheard() {
            check.hear(by, &self.read(&Said::path(by)).await?, self.keys)?;
        }
        check.finish().map(drop)
    }

    async fn read_tile(&self, number: u64) -> Result<ArchivedTile> {
        let [entries, hashes, openings] = ArchivedTile::paths(number);
        Ok(ArchivedTile {
            entries: self.read(&entries).await?,
            hashes: self.read(&hashes).await?,
            openings: self.read(&openings).await?,
        })
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let gone = || {
            let name = self.archive.name();
            let detail = format!("the log's archive {name}: {path} is not there, and was just written");
            Problem::new(ProblemKind::ArchiveUnavailable, detail)
        };
        self.archive.read(path).await?.ok_or_else(gone)
    }

    /// Takes openings out of an archived tile: of each field the entries that lose it, as the entry `by` says.
    pub(super) async fn forget(&self, number: u64, gone: &[(u64, String)], by: u64) -> Result<()> {
        let tile = self.read_tile(number).await?;
        let mut beside = String::new();
        for (_, mut kept) in tile.open(number)? {
            for (_, field) in gone.iter().filter(|(index, _)| *index == kept.index) {
                if let Some(opening @ Beside::Open(_)) = kept.openings.get_mut(field) {
                    *opening = Beside::Forgotten { forgotten: by };
                }
            }
            beside += &line(&kept)?;
        }
        let [.., path] = ArchivedTile::paths(number);
        let bytes = beside.into_bytes();
        self.archive.write(&path, bytes.clone()).await?;
        if self.read(&path).await? == bytes {
            return Ok(());
        }
        let detail = format!("{path} was not replaced in the log's archive {}", self.archive.name());
        Err(Problem::new(ProblemKind::ArchiveUnavailable, detail))
    }
}

fn line(value: &impl Serialize) -> Result<String> {
    let text =
        serde_json::to_string(value).map_err(|e| Problem::internal(format!("writing to an archive: {e}")))?;
    Ok(text + "\n")
}
