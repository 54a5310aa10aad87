//! Verifying an export or a bundle, line by line; it needs neither server nor database.

use serde::{Deserialize, Serialize};

use super::{Counted, Recount, Report, cut_off, incomplete, no_entry, range, recount::Waypoints};
use crate::{
    audit::{
        Hash,
        checkpoint::Checkpoint,
        leaf_hash,
        note::VerifierKey,
        opened::{Opened, Openings, entry_altered},
        proof::verify_inclusion,
        tile::altered,
    },
    base::{Problem, Result, hex},
};

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
    pub openings: Openings,
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

pub(super) fn malformed(what: &str) -> Problem {
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

    /// Reads the next line: an entry, with its index and its leaf, or nothing where that was the last line.
    /// Whether the entry is in the tree is certain only after [`Self::finish`].
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete`, with the index.
    pub fn line(&mut self, text: &str) -> Result<Option<(u64, Vec<u8>, Opened)>> {
        if self.ended {
            return Err(malformed("something follows its last line"));
        }
        if let Ok(end) = serde_json::from_str::<ExportEnd>(text) {
            self.ended = true;
            return if end.entries == self.lines { Ok(None) } else { Err(cut_off(end.entries, self.lines)) };
        }
        let line: ExportLine = serde_json::from_str(text)
            .map_err(|_| malformed(&format!("line {} is no entry", self.lines + 2)))?;
        self.place(&line)?;
        let opened = Opened::new(line.leaf.as_bytes(), &line.openings)
            .map_err(|why| entry_altered(line.index, &why))?;
        self.counted.take(line.index, &opened, &[])?;
        self.lines += 1;
        Ok(Some((line.index, line.leaf.into_bytes(), opened)))
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
                verify_inclusion(&leaf, line.index, *size, &proof, root)
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
        Ok(Report { size: self.lines, root, checkpoints: 1, present, forgotten, missing, archived: 0 })
    }
}

pub(super) fn proof_of(line: &ExportLine) -> Option<Vec<Hash>> {
    let hashes = line.proof.as_ref()?.iter();
    hashes.map(|text| hex::decode(text).and_then(|bytes| bytes.try_into().ok())).collect()
}
