//! Verifying what a database holds: entries, openings, search columns, tiles, the head, checkpoints.

use super::{Counted, Recount, Report, incomplete, no_entry, recount::Waypoints};
use crate::{
    audit::{
        Hash,
        archive::{ARCHIVED, ArchivedRange, ranges},
        checkpoint::Checkpoint,
        forgotten::Spans,
        leaf_hash,
        note::VerifierKey,
        opened::{EntryRow, Opened, ROWS, entry_altered},
        tile::{self, WIDTH, altered, as_i64},
    },
    base::{Result, hex},
    store::{Database, Query, sql},
};

/// Entries that are read at once.
const AT_ONCE: u64 = 1024;
/// How often the log is walked at most where entries move to an archive meanwhile.
const TRIES: u32 = 4;

#[derive(sqlx::FromRow)]
struct Sizes {
    size: i64,
    root: Vec<u8>,
    entries: i64,
    openings: i64,
}

/// Verifies the whole log of a database: indices without a gap, each leaf, each opening, each search
/// column, each tile, the head, and every checkpoint that one of `keys` signed. Of entries that an entry
/// says were archived, the tiles are what is verified here.
///
/// # Errors
/// `log-altered` or `log-incomplete`, with the index, what was expected and what was found; else a
/// problem of the database.
pub async fn check_database(database: &Database, keys: &[VerifierKey]) -> Result<Report> {
    for _ in 1..TRIES {
        let archived = ranges::all(database).await?;
        let outcome = walk(database, keys, &archived).await;
        // What moves to the archive meanwhile looks as if it were missing.
        if ranges::all(database).await? == archived {
            return outcome;
        }
    }
    walk(database, keys, &ranges::all(database).await?).await
}

async fn walk(database: &Database, keys: &[VerifierKey], archived: &[ArchivedRange]) -> Result<Report> {
    // Checkpoints first: what is signed meanwhile is of a larger log.
    let checkpoints = checkpoints(database, keys).await?;
    let sizes = sizes(database).await?;
    let size = u64::try_from(sizes.size).map_err(|_| altered("the head of the log is wrong".to_owned()))?;
    let signed = checkpoints.iter().map(|it| it.size).max().unwrap_or(0);
    let mut pass = Pass {
        database,
        tree: Recount::default(),
        tiles: vec![Vec::new()],
        waypoints: Waypoints::new(checkpoints),
        counted: Counted::default(),
        newest_time: i64::MIN,
        rows: 0,
        beside: 0,
        archived: ranges::spans(archived),
        said: Spans::default(),
        signed,
    };
    pass.waypoints.pass(&pass.tree)?;
    while pass.tree.size() < size {
        let (first, bound) = (pass.tree.size(), size.min(pass.tree.size() + AT_ONCE));
        match archived.iter().find(|range| range.to > first) {
            Some(range) if range.from <= first => pass.archived_tile(first / WIDTH).await?,
            next => pass.chunk(next.map_or(bound, |range| range.from.min(bound))).await?,
        }
    }
    pass.finish(&sizes).await
}

async fn checkpoints(database: &Database, keys: &[VerifierKey]) -> Result<Vec<Checkpoint>> {
    let rows: Vec<(i64, String)> =
        database.fetch_all(sql("SELECT size, note FROM checkpoints ORDER BY size")).await?;
    let read = |(size, note): (i64, String)| {
        let checkpoint = Checkpoint::open_any(&note, keys)?;
        if as_i64(checkpoint.size) == size {
            return Ok(checkpoint);
        }
        Err(altered(format!("the checkpoint kept for {size} entries is of {}", checkpoint.size)))
    };
    rows.into_iter().map(read).collect()
}

async fn sizes(database: &Database) -> Result<Sizes> {
    // One statement sees one state.
    let text = "SELECT size, root, (SELECT CAST(count(*) AS BIGINT) FROM entries) AS entries, \
                (SELECT CAST(count(*) AS BIGINT) FROM openings) AS openings FROM log_head WHERE id = 1";
    let found = database.fetch_optional(sql(text)).await?;
    found.ok_or_else(|| incomplete("the log has lost its head row".to_owned()))
}

/// The range that an entry says was archived: from the first to before the second.
fn archived_by(opened: &Opened) -> Option<(u64, u64)> {
    if opened.leaf.action != ARCHIVED {
        return None;
    }
    let payload = opened.payload().ok()?;
    let number = |name: &str| payload.get(name).and_then(serde_json::Value::as_u64);
    Some((number("from")?, number("to")?))
}

/// One walk over the log.
struct Pass<'d> {
    database: &'d Database,
    tree: Recount,
    /// Of each level the hashes of the tile that is not complete yet.
    tiles: Vec<Vec<Hash>>,
    waypoints: Waypoints,
    counted: Counted,
    newest_time: i64,
    /// Rows of entries, and of openings.
    rows: i64,
    beside: i64,
    /// Entries that the database says were archived, and those of which an entry says so.
    archived: Spans,
    said: Spans,
    signed: u64,
}

impl Pass<'_> {
    async fn chunk(&mut self, end: u64) -> Result<()> {
        let first = self.tree.size();
        let text = format!("{ROWS} WHERE e.idx >= $1 AND e.idx < $2 ORDER BY e.idx");
        let query = Query::composed(text, vec![as_i64(first).into(), as_i64(end).into()]);
        let rows: Vec<EntryRow> = self.database.fetch_all(query).await?;
        for (row, index) in rows.iter().zip(first..) {
            if row.index() != index {
                return Err(no_entry(index));
            }
            self.entry(row).await?;
        }
        if self.tree.size() < end { Err(no_entry(self.tree.size())) } else { Ok(()) }
    }

    /// A tile whose entries were moved. Some rows stay: what says that something was forgotten or moved.
    async fn archived_tile(&mut self, number: u64) -> Result<()> {
        let first = number * WIDTH;
        let gone =
            || incomplete(format!("tile {number} of level 0 is not there, and its entries were archived"));
        let hashes = tile::hashes(self.database, 0, number, WIDTH).await?.ok_or_else(gone)?;
        let text = format!("{ROWS} WHERE e.idx >= $1 AND e.idx < $2 ORDER BY e.idx");
        let query = Query::composed(text, vec![as_i64(first).into(), as_i64(first + WIDTH).into()]);
        let rows: Vec<EntryRow> = self.database.fetch_all(query).await?;
        let mut rows = rows.iter().peekable();
        for (index, hash) in (first..).zip(hashes) {
            match rows.next_if(|row| row.index() == index) {
                Some(row) => self.entry(row).await?,
                None => self.leaf(hash).await?,
            }
        }
        Ok(())
    }

    async fn entry(&mut self, row: &EntryRow) -> Result<()> {
        let opened = row.open()?;
        if let Some((from, to)) = archived_by(&opened) {
            self.said = std::mem::take(&mut self.said).with(from, to);
        }
        self.rows += 1;
        if opened.leaf.time < self.newest_time {
            return Err(entry_altered(row.index(), "it is older than the one before it"));
        }
        self.newest_time = opened.leaf.time;
        self.beside += i64::from(row.body.is_some());
        let columns = [("actor", Some(row.actor.as_str())), ("subject", row.subject.as_deref())];
        self.counted.take(row.index(), &opened, &columns)?;
        self.leaf(leaf_hash(&row.leaf)).await
    }

    async fn leaf(&mut self, leaf: Hash) -> Result<()> {
        self.tree.push(leaf);
        self.waypoints.pass(&self.tree)?;
        self.tile(leaf).await
    }

    async fn tile(&mut self, leaf: Hash) -> Result<()> {
        self.tiles[0].push(leaf);
        let mut level = 0;
        while self.tiles[level].len() as u64 == WIDTH {
            let complete = std::mem::take(&mut self.tiles[level]);
            let index = (self.tree.size() >> (8 * (level + 1))).saturating_sub(1);
            self.compare_tile(level, index, &complete).await?;
            let mut tree = Recount::default();
            for hash in complete {
                tree.push(hash);
            }
            level += 1;
            if self.tiles.len() == level {
                self.tiles.push(Vec::new());
            }
            self.tiles[level].push(tree.root());
        }
        Ok(())
    }

    async fn compare_tile(&self, level: usize, index: u64, hashes: &[Hash]) -> Result<()> {
        let stored: Option<(Vec<u8>,)> = self
            .database
            .fetch_optional(
                sql("SELECT hashes FROM log_tiles WHERE level = $1 AND idx = $2")
                    .bind(i64::try_from(level).unwrap_or(i64::MAX))
                    .bind(as_i64(index)),
            )
            .await?;
        let expected = hashes.concat();
        let is_complete = hashes.len() as u64 == WIDTH;
        let end = (index + 1) << (8 * (level + 1));
        match stored {
            // The newest part may be ahead of what we walk over, or behind it.
            Some((found,)) if is_complete && found.len() >= expected.len() && found != expected => {
                Err(altered(format!("tile {index} of level {level} does not fit the entries")))
            }
            Some((found,)) if found.iter().zip(&expected).any(|(found, expected)| found != expected) => {
                Err(altered(format!("tile {index} of level {level} does not fit the entries")))
            }
            Some((found,)) if is_complete && end <= self.signed && found.len() < expected.len() => {
                Err(incomplete(format!("tile {index} of level {level} is cut off")))
            }
            None if is_complete && end <= self.signed => {
                Err(incomplete(format!("tile {index} of level {level} is not there")))
            }
            _ => Ok(()),
        }
    }

    async fn finish(self, sizes: &Sizes) -> Result<Report> {
        for (level, open) in self.tiles.iter().enumerate() {
            let index = (self.tree.size() >> (8 * level)) / WIDTH;
            self.compare_tile(level, index, open).await?;
        }
        let root = self.tree.root();
        let beside = self.beside;
        let checkpoints = self.waypoints.end(&self.tree)?;
        if sizes.root != root {
            return Err(altered(format!(
                "the entries have the root {}, and the head of the log says {}",
                hex::encode(&root),
                hex::encode(&sizes.root)
            )));
        }
        if sizes.entries != self.rows {
            return Err(altered(format!(
                "{} entries lie beyond the head of the log",
                sizes.entries - self.rows
            )));
        }
        if let Some(index) = self.archived.first_beyond(&self.said) {
            return Err(entry_altered(index, "it is not there, and no entry says that it was archived"));
        }
        self.counted.refuse_missing()?;
        if sizes.openings != beside {
            return Err(altered(format!("{} openings lie beside no entry", sizes.openings - beside)));
        }
        self.counted.claims.end()?;
        let Counted { present, forgotten, missing, .. } = self.counted;
        let size = self.tree.size();
        let archived = size - self.rows.unsigned_abs();
        Ok(Report { size, root: hex::encode(&root), checkpoints, present, forgotten, missing, archived })
    }
}
