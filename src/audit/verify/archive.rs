//! Verifying an archive: the entries that were moved there, range by range, each against a signed
//! checkpoint. It needs neither server nor database.
//!
//! An archive holds, of every 256 entries, `tile/entries/N` and `tile/0/N` as the log publishes them
//! (C2SP tlog-tiles) and `openings/N`, a line of JSON for each entry; of every range `manifest/FROM-TO.json`;
//! and `said/INDEX.json` for each entry outside of it which says that something in it was forgotten. What
//! else of the tree it takes stands in the manifests, as a few hashes.

use serde::{Deserialize, Serialize};

use super::{Counted, ExportLine, Recount, export::proof_of, incomplete, no_entry, range::Range};
use crate::{
    audit::{
        Checkpoint, Hash, VerifierKey,
        forgotten::Spans,
        leaf_hash,
        opened::{Opened, Openings, entry_altered},
        proof::verify_inclusion,
        tile::{WIDTH, altered, index_path},
        verify::published::Piece,
    },
    base::{Problem, Result, hex},
};

/// What is said of one range.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format: 1.
    pub port_control_archive: u8,
    /// The signed checkpoint that the range is in.
    pub checkpoint: String,
    /// Which entries, and what stands beside them in its tree.
    pub range: Range,
    /// Entries that were in the archive before: `0-511,768-1023`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Spans>,
}

impl Manifest {
    /// Its path in the archive.
    #[must_use]
    pub fn path(from: u64, to: u64) -> String {
        format!("manifest/{from}-{to}.json")
    }

    /// The range that a path of [`Self::path`] is of.
    #[must_use]
    pub fn range_of(path: &str) -> Option<(u64, u64)> {
        let (from, to) = path.strip_prefix("manifest/")?.strip_suffix(".json")?.split_once('-')?;
        let range = (from.parse().ok()?, to.parse().ok()?);
        (Self::path(range.0, range.1) == path).then_some(range)
    }
}

/// What lies beside an entry: a line of `openings/N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedOpenings {
    /// The entry's index in the log.
    pub index: u64,
    /// What its commitments commit to, by field.
    pub openings: Openings,
}

/// An entry outside of the archive which says that something in it was forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// A signed checkpoint that it is in.
    pub checkpoint: String,
    /// The entry, its place in that tree, and the opening of what it says; no other.
    pub entry: ExportLine,
}

impl Said {
    /// Its path in the archive.
    #[must_use]
    pub fn path(index: u64) -> String {
        format!("said/{index}.json")
    }
}

/// Where the 256 openings of tile `number` lie.
#[must_use]
pub fn openings_path(number: u64) -> String {
    format!("openings/{}", index_path(number))
}

/// The three files of 256 entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedTile {
    /// `tile/entries/N`.
    pub entries: Vec<u8>,
    /// `tile/0/N`.
    pub hashes: Vec<u8>,
    /// `openings/N`.
    pub openings: Vec<u8>,
}

impl ArchivedTile {
    /// Their paths, in that order.
    #[must_use]
    pub fn paths(number: u64) -> [String; 3] {
        [
            Piece::Entries { number, width: WIDTH }.path(),
            Piece::Hashes { level: 0, number, width: WIDTH }.path(),
            openings_path(number),
        ]
    }

    /// The entries with what lies beside them, each held against its hash.
    ///
    /// # Errors
    /// `log-altered` and `log-incomplete`, with the index.
    pub fn open(&self, number: u64) -> Result<Vec<(Vec<u8>, ArchivedOpenings)>> {
        let leaves = self.leaves(number)?;
        let beside = self.beside(number)?;
        Ok(leaves.into_iter().zip(beside).collect())
    }

    /// The entries, each held against its hash.
    fn leaves(&self, number: u64) -> Result<Vec<Vec<u8>>> {
        let [path, hashes_path, _] = Self::paths(number);
        let (hashes, rest) = self.hashes.as_chunks::<32>();
        if hashes.len() as u64 != WIDTH || !rest.is_empty() {
            let detail = format!("{hashes_path} of the archive does not hold {WIDTH} hashes");
            return Err(altered(detail).with("path", hashes_path));
        }
        let (mut leaves, mut bytes) = (Vec::with_capacity(hashes.len()), self.entries.as_slice());
        for (index, expected) in (number * WIDTH..).zip(hashes) {
            if bytes.is_empty() {
                return Err(no_entry(index));
            }
            let (leaf, rest) = cut(bytes)
                .ok_or_else(|| entry_altered(index, "its length in the archive is not what it was"))?;
            let found = leaf_hash(leaf);
            if found != *expected {
                return Err(other_hash(index, &hashes_path, expected, &found));
            }
            leaves.push(leaf.to_vec());
            bytes = rest;
        }
        if bytes.is_empty() {
            return Ok(leaves);
        }
        Err(altered(format!("{path} of the archive holds more than {WIDTH} entries")).with("path", path))
    }

    fn beside(&self, number: u64) -> Result<Vec<ArchivedOpenings>> {
        let (first, mut found) = (number * WIDTH, Vec::new());
        let text = std::str::from_utf8(&self.openings).unwrap_or_default();
        for (index, line) in (first..first + WIDTH).zip(text.split_terminator('\n')) {
            let beside: ArchivedOpenings = serde_json::from_str(line)
                .map_err(|_| entry_altered(index, "its openings in the archive cannot be read"))?;
            if beside.index != index {
                return Err(entry_altered(index, "the openings of another entry lie beside it"));
            }
            found.push(beside);
        }
        let is_whole = found.len() as u64 == WIDTH && text.split_terminator('\n').count() as u64 == WIDTH;
        if is_whole && text.ends_with('\n') {
            return Ok(found);
        }
        let path = openings_path(number);
        let index = first + (found.len() as u64).min(WIDTH - 1);
        let detail = format!("{path} of the archive does not hold the openings of {WIDTH} entries");
        Err(incomplete(detail).with("path", path).with("index", index))
    }
}

/// The first entry of a bundle, and what follows it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn other_hash(index: u64, path: &str, expected: &Hash, found: &Hash) -> Problem {
    let (expected, found) = (hex::encode(expected), hex::encode(found));
    entry_altered(index, &format!("its hash is {found}, and {path} of the archive says {expected}"))
        .with("expected", expected)
        .with("found", found)
}

/// What was verified of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveReport {
    /// Number of entries.
    pub entries: u64,
    /// Which: from the first of each range to before its end. Those that lie side by side are one.
    pub ranges: Vec<(u64, u64)>,
    /// Openings that are there and fit.
    pub present: u64,
    /// Openings that were forgotten, as an entry says.
    pub forgotten: u64,
}

/// The range that is read at the moment.
struct Open {
    tree: Recount,
    right: Vec<(u32, Hash)>,
    checkpoint: Checkpoint,
    range: (u64, u64),
}

/// Takes ranges in, the lowest first, each tile by tile.
#[derive(Default)]
pub struct ArchiveCheck {
    open: Option<Open>,
    /// The tree up to the end of the last range.
    last: Option<Recount>,
    seen: Spans,
    /// What has to have been seen at the end.
    before: Vec<Spans>,
    ranges: Vec<(u64, u64)>,
    counted: Counted,
    newest_time: Option<i64>,
    entries: u64,
}

impl ArchiveCheck {
    /// Of ranges that others follow: `before` is not asked for again.
    #[must_use]
    pub fn after(before: Spans) -> Self {
        Self { seen: before, ..Self::default() }
    }

    /// Begins the range from one entry to before another by its manifest, signed by one of `keys`.
    ///
    /// # Errors
    /// `log-altered`: it is malformed, not signed, or of another log than the range before.
    pub fn range(&mut self, text: &[u8], range: (u64, u64), keys: &[VerifierKey]) -> Result<()> {
        let manifest: Manifest =
            serde_json::from_slice(text).map_err(|_| wrong("a manifest cannot be read"))?;
        if manifest.port_control_archive != 1 {
            return Err(wrong("a manifest is of a version that is not known here"));
        }
        if range != (manifest.range.from, manifest.range.to) {
            return Err(wrong(&format!("the manifest of {} to {} is of another range", range.0, range.1)));
        }
        let is_of_tiles = range.0 < range.1 && range.0.is_multiple_of(WIDTH) && range.1.is_multiple_of(WIDTH);
        let follows = self.ranges.last().is_none_or(|(_, end)| *end <= range.0);
        if self.open.is_some() || !is_of_tiles || !follows {
            return Err(wrong(&format!(
                "the range {} to {} does not follow the one before",
                range.0, range.1
            )));
        }
        // Asked for at the end: what was held back is archived after what follows it.
        self.before.extend(manifest.before.clone());
        let checkpoint = Checkpoint::open_any(&manifest.checkpoint, keys)?;
        let (tree, right) = manifest.range.open(checkpoint.size)?;
        let last = self.last.take().filter(|last| last.size() == range.0);
        if last.is_some_and(|last| last.root() != tree.root()) {
            return Err(wrong(&format!("what lies before entry {} is another log than before", range.0)));
        }
        self.open = Some(Open { tree, right, checkpoint, range });
        Ok(())
    }

    /// Number of the tile that is wanted next; nothing where the range is whole.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.tree.size() / WIDTH)
    }

    /// Takes the tile that was wanted.
    ///
    /// # Errors
    /// `log-altered` and `log-incomplete`, with the index.
    pub fn take(&mut self, tile: &ArchivedTile) -> Result<()> {
        let Some(number) = self.wanted() else { return Ok(()) };
        for (leaf, beside) in tile.open(number)? {
            self.entry(&leaf, &beside)?;
        }
        let is_whole = |open: &mut Open| open.tree.size() == open.range.1;
        match self.open.take_if(is_whole) {
            None => Ok(()),
            Some(open) => self.close(open),
        }
    }

    fn entry(&mut self, leaf: &[u8], beside: &ArchivedOpenings) -> Result<()> {
        let index = beside.index;
        let opened = Opened::new(leaf, &beside.openings).map_err(|why| entry_altered(index, &why))?;
        if self.newest_time.is_some_and(|newest| opened.leaf.time < newest) {
            return Err(entry_altered(index, "it is older than the one before it"));
        }
        self.newest_time = Some(opened.leaf.time);
        self.counted.take(index, &opened, &[])?;
        self.entries += 1;
        if let Some(open) = &mut self.open {
            open.tree.push(leaf_hash(leaf));
        }
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<()> {
        let Open { tree, right, checkpoint, range } = open;
        let mut whole = tree.clone();
        for (height, root) in right {
            whole.push_subtree(height, root);
        }
        if whole.root() != checkpoint.root {
            let (found, expected) = (hex::encode(&whole.root()), hex::encode(&checkpoint.root));
            let detail = format!(
                "entries {} to {} of the archive come to a log with the root {found}, and {expected} was signed",
                range.0,
                range.1 - 1
            );
            return Err(altered(detail).with("expected", expected).with("found", found));
        }
        self.last = Some(tree);
        self.seen = std::mem::take(&mut self.seen).with(range.0, range.1);
        match self.ranges.last_mut() {
            Some((_, end)) if *end == range.0 => *end = range.1,
            _ => self.ranges.push(range),
        }
        Ok(())
    }

    /// Entries which have to say that something was forgotten, and that were not heard yet.
    #[must_use]
    pub fn unheard(&self) -> Vec<u64> {
        self.counted.claims.pending()
    }

    /// Hears one of them, the lowest first.
    ///
    /// # Errors
    /// `log-altered` where it is not in the signed log, or does not say so.
    pub fn hear(&mut self, index: u64, text: &[u8], keys: &[VerifierKey]) -> Result<()> {
        let path = Said::path(index);
        let said: Said =
            serde_json::from_slice(text).map_err(|_| wrong(&format!("{path} cannot be read")))?;
        let Checkpoint { size, root, .. } = Checkpoint::open_any(&said.checkpoint, keys)?;
        let line = said.entry;
        let leaf = leaf_hash(line.leaf.as_bytes());
        let is_there = line.index == index
            && proof_of(&line).is_some_and(|proof| verify_inclusion(&leaf, index, size, &proof, &root));
        if !is_there {
            return Err(entry_altered(index, &format!("what {path} says is not in the signed log")));
        }
        let opened =
            Opened::new(line.leaf.as_bytes(), &line.openings).map_err(|why| entry_altered(index, &why))?;
        self.counted.claims.hear(index, &opened)
    }

    /// After the last range, and after everything was heard.
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete`: the first entry that is gone, or opening that no entry names.
    pub fn finish(self) -> Result<ArchiveReport> {
        if let Some(open) = &self.open {
            return Err(no_entry(open.tree.size()));
        }
        if let Some(index) = self.before.iter().find_map(|before| before.first_beyond(&self.seen)) {
            let detail = format!("entry {index} was in the archive before, and is not there");
            return Err(incomplete(detail).with("index", index));
        }
        self.counted.claims.end()?;
        self.counted.refuse_missing()?;
        let Counted { present, forgotten, .. } = self.counted;
        Ok(ArchiveReport { entries: self.entries, ranges: self.ranges, present, forgotten })
    }
}

fn wrong(what: &str) -> Problem {
    altered(format!("the archive is not as it was written: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_one_path() {
        assert_eq!(Manifest::range_of(&Manifest::path(256, 1024)), Some((256, 1024)));
        for bad in ["manifest/0-1", "manifest/00-1.json", "manifest/+0-1.json", "0-1.json", "manifest/1.json"]
        {
            assert_eq!(Manifest::range_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let key = crate::keys::LogSigner::from_seed(&[1; 32]);
        let keys = [VerifierKey::new("example.com/log", key.public_key()).unwrap()];
        for text in ["", "{}", "[]", "\u{0}", "{\"port_control_archive\":2}"] {
            assert!(ArchiveCheck::default().range(text.as_bytes(), (0, 256), &keys).is_err(), "{text}");
        }
    }
}
