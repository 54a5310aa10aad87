//! Readers that believe nothing: one walks the whole log and says what is wrong, the other what is new
//! after each step. They share no code with appending but the hash.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use port_control::{
    audit::{Hash, Opening, leaf_hash, node_hash},
    store::{Database, sql},
};

#[derive(sqlx::FromRow)]
struct EntryRow {
    idx: i64,
    leaf: Vec<u8>,
    time: i64,
    action: String,
    decision: String,
    body: String,
}

/// What is in the log, as it opens.
pub struct Entry {
    pub action: String,
    pub decision: String,
    pub actor: String,
    pub payload: serde_json::Value,
}

/// Walks the log: indices without a gap, times that do not run back, every opening as committed, and the
/// root that the head says.
pub async fn walk(database: &Database) -> Result<Vec<Entry>> {
    let rows: Vec<EntryRow> = database
        .fetch_all(sql("SELECT e.idx, e.leaf, e.time, e.action, e.decision, o.body FROM entries e \
             LEFT JOIN openings o ON o.entry = e.idx ORDER BY e.idx"))
        .await?;
    let (size, root): (i64, Vec<u8>) = database
        .fetch_optional(sql("SELECT size, root FROM log_head WHERE id = 1"))
        .await?
        .context("no head")?;
    ensure!(usize::try_from(size)? == rows.len(), "the head says {size}, there are {}", rows.len());
    let (mut entries, mut leaves, mut latest) = (Vec::new(), Vec::new(), 0);
    for (place, row) in rows.iter().enumerate() {
        ensure!(usize::try_from(row.idx)? == place, "a gap: {} at {place}", row.idx);
        ensure!(row.time >= latest, "time runs back at {place}");
        latest = row.time;
        leaves.push(leaf_hash(&row.leaf));
        entries.push(open(row).with_context(|| format!("entry {place}"))?);
    }
    ensure!(root == root_of(&leaves), "the root is not that of the entries");
    check_batches(database, size).await?;
    Ok(entries)
}

/// Verifies a log as it grows: after each step what is new, against every checkpoint that was signed on
/// the way. What it has seen has to stay what it was.
#[derive(Default)]
pub struct CheckLog {
    size: u64,
    latest: i64,
    /// Roots of complete subtrees with their heights, the highest first.
    peaks: Vec<(u32, Hash)>,
    /// The root of the tree of one entry, of two, and so on: what is signed is signed a moment later.
    roots: Vec<Hash>,
    /// The newest checkpoint that it has met.
    signed: u64,
}

#[derive(sqlx::FromRow)]
struct NewEntry {
    idx: i64,
    leaf: Vec<u8>,
    time: i64,
    action: String,
    body: Option<String>,
}

impl CheckLog {
    /// Takes in what is new; how many entries there are now.
    pub async fn step(&mut self, database: &Database) -> Result<u64> {
        let signed = sql("SELECT size, note FROM checkpoints WHERE size > $1 ORDER BY size");
        let signed: Vec<(i64, String)> = database.fetch_all(signed.bind(i64::try_from(self.signed)?)).await?;
        let rows: Vec<NewEntry> = database
            .fetch_all(
                sql("SELECT e.idx, e.leaf, e.time, e.action, o.body FROM entries e \
                     LEFT JOIN openings o ON o.entry = e.idx WHERE e.idx >= $1 ORDER BY e.idx")
                .bind(i64::try_from(self.size)?),
            )
            .await?;
        for row in &rows {
            self.pass_archived(database, u64::try_from(row.idx)?).await?;
            self.take(row).with_context(|| format!("entry {}", self.size))?;
        }
        for (size, note) in signed {
            self.meet(u64::try_from(size)?, &note)?;
        }
        Ok(self.size)
    }

    /// Of entries that were archived the hashes are there, and nothing else of this reader's concern.
    async fn pass_archived(&mut self, database: &Database, until: u64) -> Result<()> {
        while self.size < until {
            let place = i64::try_from(self.size)?;
            let archived =
                sql("SELECT first FROM log_archives WHERE first <= $1 AND next_entry > $1").bind(place);
            let archived: Option<(i64,)> = database.fetch_optional(archived).await?;
            archived.with_context(|| format!("entry {place} is neither here nor archived"))?;
            let tile = sql("SELECT hashes FROM log_tiles WHERE level = 0 AND idx = $1").bind(place / 256);
            let tile: Option<(Vec<u8>,)> = database.fetch_optional(tile).await?;
            let (hashes, _) = tile.as_ref().context("no tile")?.0.as_chunks::<32>();
            let at = usize::try_from(self.size % 256)?;
            self.push(*hashes.get(at).context("a tile that is cut off")?);
        }
        Ok(())
    }

    fn take(&mut self, row: &NewEntry) -> Result<()> {
        ensure!(u64::try_from(row.idx)? == self.size, "there is {} instead", row.idx);
        ensure!(row.time >= self.latest, "time runs back");
        self.latest = row.time;
        let leaf: serde_json::Value = serde_json::from_slice(&row.leaf)?;
        ensure!(leaf["action"] == row.action && leaf["time"] == row.time, "a column is not as the leaf");
        let beside: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(row.body.as_deref().context("no openings")?)?;
        let commitments = leaf["commitments"].as_object().context("no commitments")?;
        ensure!(commitments.keys().eq(beside.keys()), "other openings than commitments");
        for (field, opening) in beside.into_iter().filter(|(_, it)| it.get("forgotten").is_none()) {
            let opening: Opening = serde_json::from_value(opening)?;
            let found = port_control::base::hex::encode(&opening.commitment(&field));
            ensure!(commitments[&field] == found.as_str(), "{field} is not what was committed");
        }
        self.push(leaf_hash(&row.leaf));
        Ok(())
    }

    fn push(&mut self, leaf: Hash) {
        let mut peak = (0, leaf);
        while let Some((height, left)) = self.peaks.pop_if(|(height, _)| *height == peak.0) {
            peak = (height + 1, node_hash(&left, &peak.1));
        }
        self.peaks.push(peak);
        let roots = self.peaks.iter().rev().map(|(_, root)| *root);
        self.roots.extend(roots.reduce(|right, left| node_hash(&left, &right)));
        self.size += 1;
    }

    /// Both trees are one, so the newer grew out of the older.
    fn meet(&mut self, size: u64, note: &str) -> Result<()> {
        let at = usize::try_from(size)?.checked_sub(1).context("a checkpoint of nothing")?;
        let root = self
            .roots
            .get(at)
            .with_context(|| format!("a checkpoint of {size} entries, and there are {}", self.size))?;
        let lines: Vec<&str> = note.lines().take(3).collect();
        let says = [size.to_string(), data_encoding::BASE64.encode(root)];
        ensure!(
            lines.len() == 3 && lines[1..] == says,
            "the checkpoint of {size} is of another tree: {note}"
        );
        self.signed = size;
        Ok(())
    }
}

/// Batches follow each other without gap or overlap.
async fn check_batches(database: &Database, size: i64) -> Result<()> {
    let batches: Vec<(i64, i64)> =
        database.fetch_all(sql("SELECT first, size FROM batches ORDER BY first")).await?;
    let mut next = batches.first().map_or(size, |(first, _)| *first);
    for (first, count) in batches {
        ensure!(first == next, "a batch begins at {first}, not at {next}");
        next += count;
    }
    ensure!(next == size, "the batches end at {next}, the log at {size}");
    Ok(())
}

fn open(row: &EntryRow) -> Result<Entry> {
    let leaf: serde_json::Value = serde_json::from_slice(&row.leaf)?;
    let openings: BTreeMap<String, Opening> = serde_json::from_str(&row.body)?;
    let commitments = leaf["commitments"].as_object().context("no commitments")?;
    ensure!(commitments.len() == openings.len(), "an opening too many or too few");
    for (field, opening) in &openings {
        let committed = commitments.get(field).and_then(|it| it.as_str());
        let found = port_control::base::hex::encode(&opening.commitment(field));
        ensure!(committed == Some(found.as_str()), "{field} is not what was committed");
    }
    ensure!(leaf["action"] == row.action && leaf["time"] == row.time, "a column is not as the leaf");
    let payload = openings.get("payload").map_or("null", |it| it.value.as_str());
    Ok(Entry {
        action: row.action.clone(),
        decision: row.decision.clone(),
        actor: openings["actor"].value.clone(),
        payload: serde_json::from_str(payload)?,
    })
}

/// The definition of RFC 6962, section 2.1.
fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => port_control::audit::Edge::empty().root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}
