//! Verifying: recomputes the log leaf by leaf, and says what exactly is wrong. It shares no code with
//! appending but the hash.

use serde::{Deserialize, Serialize};

pub mod published;
pub mod range;

use super::{
    Hash,
    checkpoint::Checkpoint,
    forgotten::Claims,
    leaf_hash, node_hash,
    note::VerifierKey,
    opened::{EntryRow, Opened, ROWS, entry_altered},
    tile::{WIDTH, altered, as_i64},
};
use crate::{
    base::{Problem, ProblemKind, Result, hex},
    store::{Database, Query},
};

/// Entries that are read at once.
const AT_ONCE: u64 = 1024;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them, in hexadecimal.
    pub root: String,
    /// Signed checkpoints that fit it.
    pub checkpoints: u64,
    /// Openings that are there and fit.
    pub present: u64,
    /// Openings that were forgotten, as an entry says.
    pub forgotten: u64,
    /// Openings that are not there, and nothing says why.
    pub missing: u64,
}

/// Grows a tree of which only the roots of its complete subtrees are kept.
#[derive(Clone, Debug, Default)]
pub struct Recount {
    size: u64,
    /// Height and root, the highest first.
    peaks: Vec<(u32, Hash)>,
}

impl Recount {
    /// Takes the next leaf in, given its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Takes the next 2^`height` leaves in, given the root over them. They begin at a multiple of their
    /// number.
    fn push_subtree(&mut self, height: u32, root: Hash) {
        let mut peak = (height, root);
        while let Some((height, left)) = self.peaks.pop_if(|(height, _)| *height == peak.0) {
            peak = (height + 1, node_hash(&left, &peak.1));
        }
        self.peaks.push(peak);
        self.size += 1 << height;
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, root)| *root);
        let last = peaks.next().unwrap_or_else(|| {
            let mut hash = [0; 32];
            hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, b"").as_ref());
            hash
        });
        peaks.fold(last, |right, left| node_hash(&left, &right))
    }

    /// Holds it against a checkpoint of the same size.
    ///
    /// # Errors
    /// `log-altered` with both roots.
    pub fn compare(&self, checkpoint: &Checkpoint) -> Result<()> {
        if self.root() == checkpoint.root {
            return Ok(());
        }
        Err(altered(format!(
            "the first {} entries have the root {}, and {} was signed",
            self.size,
            hex::encode(&self.root()),
            hex::encode(&checkpoint.root)
        ))
        .with("expected", hex::encode(&checkpoint.root))
        .with("found", hex::encode(&self.root())))
    }
}

/// Checkpoints that have to be met on the way, the smallest first.
struct Waypoints {
    ahead: std::vec::IntoIter<Checkpoint>,
    next: Option<Checkpoint>,
    met: u64,
}

impl Waypoints {
    fn new(mut checkpoints: Vec<Checkpoint>) -> Self {
        checkpoints.sort_by_key(|it| it.size);
        let mut ahead = checkpoints.into_iter();
        Self { next: ahead.next(), ahead, met: 0 }
    }

    fn pass(&mut self, tree: &Recount) -> Result<()> {
        while let Some(next) = &self.next
            && next.size == tree.size()
        {
            tree.compare(next)?;
            self.met += 1;
            self.next = self.ahead.next();
        }
        Ok(())
    }

    /// All of them were met.
    fn end(self, tree: &Recount) -> Result<u64> {
        match self.ahead.last().or(self.next) {
            None => Ok(self.met),
            Some(beyond) => Err(cut_off(beyond.size, tree.size())),
        }
    }
}

fn incomplete(detail: String) -> Problem {
    Problem::new(ProblemKind::LogIncomplete, detail)
}

fn cut_off(signed: u64, found: u64) -> Problem {
    incomplete(format!("{signed} entries were signed, and {found} are there"))
        .with("expected", signed)
        .with("found", found)
}

/// Counts what lies beside entries.
#[derive(Default)]
struct Counted {
    present: u64,
    forgotten: u64,
    missing: u64,
    /// The first entry that lacks an opening.
    first_missing: Option<u64>,
    /// What entries have to say that was forgotten.
    claims: Claims,
}

impl Counted {
    /// `columns` hold a pseudonym where the field of that name was forgotten.
    fn take(&mut self, index: u64, opened: &Opened, columns: &[(&str, Option<&str>)]) -> Result<()> {
        self.present += opened.fields.len() as u64;
        self.forgotten += opened.forgotten.len() as u64;
        self.missing += opened.missing.len() as u64;
        if !opened.missing.is_empty() {
            self.first_missing.get_or_insert(index);
        }
        self.claims.hear(index, opened)?;
        self.claims.claim(index, opened, columns);
        Ok(())
    }

    fn refuse_missing(&self) -> Result<()> {
        let Some(index) = self.first_missing else { return Ok(()) };
        Err(incomplete(format!(
            "{} openings are not there and no entry says that they were forgotten; the first at entry {index}",
            self.missing
        ))
        .with("index", index)
        .with("missing", self.missing))
    }
}

#[derive(sqlx::FromRow)]
struct Sizes {
    size: i64,
    root: Vec<u8>,
    entries: i64,
    openings: i64,
}

/// Verifies the whole log of a database: indices without a gap, each leaf, each opening, each search
/// column, each tile, the head, and every checkpoint that `key` signed.
///
/// # Errors
/// `log-altered` or `log-incomplete`, with the index, what was expected and what was found; else a
/// problem of the database.
pub async fn check_database(database: &Database, key: &VerifierKey) -> Result<Report> {
    // Checkpoints first: what is signed meanwhile is of a larger log.
    let checkpoints = checkpoints(database, key).await?;
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
        beside: 0,
        signed,
    };
    pass.waypoints.pass(&pass.tree)?;
    while pass.tree.size() < size {
        pass.chunk(size.min(pass.tree.size() + AT_ONCE)).await?;
    }
    pass.finish(&sizes).await
}

async fn checkpoints(database: &Database, key: &VerifierKey) -> Result<Vec<Checkpoint>> {
    let rows: Vec<(i64, String)> =
        database.fetch_all(crate::store::sql("SELECT size, note FROM checkpoints ORDER BY size")).await?;
    let read = |(size, note): (i64, String)| {
        let checkpoint = Checkpoint::open(&note, key)?;
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
    let found = database.fetch_optional(crate::store::sql(text)).await?;
    found.ok_or_else(|| incomplete("the log has lost its head row".to_owned()))
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
    beside: i64,
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

    async fn entry(&mut self, row: &EntryRow) -> Result<()> {
        let opened = row.open()?;
        if opened.leaf.time < self.newest_time {
            return Err(entry_altered(row.index(), "it is older than the one before it"));
        }
        self.newest_time = opened.leaf.time;
        self.beside += i64::from(row.body.is_some());
        let columns = [("actor", Some(row.actor.as_str())), ("subject", row.subject.as_deref())];
        self.counted.take(row.index(), &opened, &columns)?;
        let leaf = leaf_hash(&row.leaf);
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
                crate::store::sql("SELECT hashes FROM log_tiles WHERE level = $1 AND idx = $2")
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
        let (size, beside) = (as_i64(self.tree.size()), self.beside);
        let checkpoints = self.waypoints.end(&self.tree)?;
        if sizes.root != root {
            return Err(altered(format!(
                "the entries have the root {}, and the head of the log says {}",
                hex::encode(&root),
                hex::encode(&sizes.root)
            )));
        }
        if sizes.entries != size {
            return Err(altered(format!("{} entries lie beyond the head of the log", sizes.entries - size)));
        }
        self.counted.refuse_missing()?;
        if sizes.openings != beside {
            return Err(altered(format!("{} openings lie beside no entry", sizes.openings - beside)));
        }
        self.counted.claims.end()?;
        let Counted { present, forgotten, missing, .. } = self.counted;
        let size = self.tree.size();
        Ok(Report { size, root: hex::encode(&root), checkpoints, present, forgotten, missing })
    }
}

fn no_entry(index: u64) -> Problem {
    incomplete(format!("entry {index} of the log is not there")).with("index", index)
}

/// The first line of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The version of the format: 1.
    pub port_control_export: u8,
    /// The signed checkpoint that the export is bound to.
    pub checkpoint: String,
    /// Whether entries were left out: then each line brings its own proof, and nothing is claimed of
    /// what is not there.
    pub filtered: bool,
    /// By what.
    pub filter: serde_json::Value,
    /// Where it is a bundle: which entries of the log it holds, every one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<range::Range>,
}

/// One entry of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportLine {
    /// Its index in the log.
    pub index: u64,
    /// The entry itself, byte for byte.
    pub leaf: String,
    /// What its commitments commit to, by field.
    pub openings: super::opened::Openings,
    /// That it is in the tree of the checkpoint: hashes in hexadecimal. Only where it is filtered, or
    /// behind the range of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<String>>,
}

/// The last line of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportEnd {
    /// How many entries came before it.
    pub entries: u64,
}

/// Verifies an export, line by line; needs neither server nor database.
pub struct ExportCheck {
    checkpoint: Checkpoint,
    filtered: bool,
    /// The entries that have to be here, every one of them, where it is not filtered.
    range: (u64, u64),
    /// What stands in the tree to the right of them.
    right: Vec<(u32, Hash)>,
    seen: Waypoints,
    tree: Recount,
    lines: u64,
    after: Option<u64>,
    counted: Counted,
    ended: bool,
}

fn malformed(what: &str) -> Problem {
    altered(format!("the export is not as it was written: {what}"))
}

impl ExportCheck {
    /// Reads the first line.
    ///
    /// # Errors
    /// `log-altered` where it is malformed or its checkpoint is not signed by `key`.
    pub fn new(first: &str, key: &VerifierKey) -> Result<Self> {
        let header: ExportHeader =
            serde_json::from_str(first).map_err(|_| malformed("its first line is none of an export"))?;
        if header.port_control_export != 1 {
            return Err(malformed("it is of a version that is not known here"));
        }
        let checkpoint = Checkpoint::open(&header.checkpoint, key)?;
        let range = header.range.unwrap_or_else(|| range::Range::whole(checkpoint.size));
        let (tree, right) = range.open(checkpoint.size)?;
        Ok(Self {
            range: (range.from, range.to),
            right,
            seen: Waypoints::new(Vec::new()),
            checkpoint,
            filtered: header.filtered,
            tree,
            lines: 0,
            after: None,
            counted: Counted::default(),
            ended: false,
        })
    }

    /// The checkpoint that it is bound to.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether entries were left out on purpose.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// The entries of the log of which none is left out: from the first to before the second.
    #[must_use]
    pub fn range(&self) -> (u64, u64) {
        self.range
    }

    /// Has to meet this older checkpoint of the same log, too.
    ///
    /// # Errors
    /// `log-incomplete` where that is of a larger log; `invalid-request` where what is here cannot show it.
    pub fn since(&mut self, older: Checkpoint) -> Result<()> {
        if older.size > self.checkpoint.size {
            return Err(cut_off(older.size, self.checkpoint.size));
        }
        let is_met =
            older.size == self.checkpoint.size || (self.range.0..=self.range.1).contains(&older.size);
        if self.filtered || !is_met {
            let detail = format!("this file cannot show what became of the first {} entries", older.size);
            return Err(Problem::invalid(detail)
                .remedy("Take a bundle that begins at or before them, or verify with --url or --dir."));
        }
        self.seen = Waypoints::new(vec![older]);
        self.seen.pass(&self.tree)
    }

    /// Reads the next line.
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete`, with the index.
    pub fn line(&mut self, text: &str) -> Result<()> {
        if self.ended {
            return Err(malformed("something follows its last line"));
        }
        if let Ok(end) = serde_json::from_str::<ExportEnd>(text) {
            self.ended = true;
            return if end.entries == self.lines { Ok(()) } else { Err(cut_off(end.entries, self.lines)) };
        }
        let line: ExportLine = serde_json::from_str(text)
            .map_err(|_| malformed(&format!("line {} is no entry", self.lines + 2)))?;
        self.place(&line)?;
        let opened = Opened::new(line.leaf.as_bytes(), &line.openings)
            .map_err(|why| entry_altered(line.index, &why))?;
        self.counted.take(line.index, &opened, &[])?;
        self.lines += 1;
        Ok(())
    }

    /// Holds the entry's place against the tree.
    fn place(&mut self, line: &ExportLine) -> Result<()> {
        let leaf = leaf_hash(line.leaf.as_bytes());
        // Behind the range of a bundle stands only what says that something in it was forgotten.
        if self.filtered || (line.proof.is_some() && self.tree.size() == self.range.1) {
            if !self.filtered && line.index < self.range.1 {
                return Err(entry_altered(line.index, "it is out of order"));
            }
            let in_order = self.after.is_none_or(|after| after < line.index);
            self.after = Some(line.index);
            let is_there = proof_of(line).is_some_and(|proof| {
                let Checkpoint { size, root, .. } = &self.checkpoint;
                super::proof::verify_inclusion(&leaf, line.index, *size, &proof, root)
            });
            return match (in_order, is_there) {
                (true, true) => Ok(()),
                (false, _) => Err(entry_altered(line.index, "it is out of order")),
                (_, false) => Err(entry_altered(line.index, "it is not in the tree of the checkpoint")),
            };
        }
        match line.index.cmp(&self.tree.size()) {
            std::cmp::Ordering::Greater => return Err(no_entry(self.tree.size())),
            std::cmp::Ordering::Less => return Err(entry_altered(line.index, "it is out of order")),
            std::cmp::Ordering::Equal if line.index >= self.range.1 => {
                return Err(entry_altered(line.index, "it lies beyond what was promised"));
            }
            std::cmp::Ordering::Equal => self.tree.push(leaf),
        }
        self.seen.pass(&self.tree)
    }

    /// After the last line.
    ///
    /// # Errors
    /// `log-incomplete` where it is cut off; `log-altered` where the tree is not the one that was signed.
    pub fn finish(mut self) -> Result<Report> {
        if !self.ended {
            return Err(incomplete("the export is cut off: its last line is not there".to_owned()));
        }
        if !self.filtered {
            if self.tree.size() != self.range.1 {
                return Err(cut_off(self.range.1, self.tree.size()));
            }
            for (height, root) in std::mem::take(&mut self.right) {
                self.tree.push_subtree(height, root);
            }
            self.tree.compare(&self.checkpoint)?;
            self.seen.pass(&self.tree)?;
            std::mem::replace(&mut self.seen, Waypoints::new(Vec::new())).end(&self.tree)?;
        }
        self.counted.claims.end()?;
        self.counted.refuse_missing()?;
        let Counted { present, forgotten, missing, .. } = self.counted;
        let root = hex::encode(&self.checkpoint.root);
        Ok(Report { size: self.lines, root, checkpoints: 1, present, forgotten, missing })
    }
}

fn proof_of(line: &ExportLine) -> Option<Vec<Hash>> {
    let hashes = line.proof.as_ref()?.iter();
    hashes.map(|text| hex::decode(text).and_then(|bytes| bytes.try_into().ok())).collect()
}

/// The consistency of two checkpoints of one log, by hashes that somebody else computed.
///
/// # Errors
/// `log-altered` where the newer did not grow out of the older one; `log-incomplete` where it is smaller.
pub fn check_growth(old: &Checkpoint, new: &Checkpoint, proof: &[Hash]) -> Result<()> {
    if new.size < old.size {
        return Err(cut_off(old.size, new.size));
    }
    if old.origin == new.origin
        && super::proof::verify_consistency(old.size, &old.root, new.size, &new.root, proof)
    {
        return Ok(());
    }
    Err(altered(format!(
        "the log of {} entries did not grow out of the one of {} that was seen before",
        new.size, old.size
    )))
}
