//! The tree, recomputed from its leaves, and the checkpoints that it has to meet on the way.

use super::cut_off;
use crate::{
    audit::{Hash, checkpoint::Checkpoint, node_hash, tile::altered},
    base::{Result, hex},
};

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
    pub(super) fn push_subtree(&mut self, height: u32, root: Hash) {
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
pub(super) struct Waypoints {
    ahead: std::vec::IntoIter<Checkpoint>,
    next: Option<Checkpoint>,
    met: u64,
}

impl Waypoints {
    pub(super) fn new(mut checkpoints: Vec<Checkpoint>) -> Self {
        checkpoints.sort_by_key(|it| it.size);
        let mut ahead = checkpoints.into_iter();
        Self { next: ahead.next(), ahead, met: 0 }
    }

    pub(super) fn pass(&mut self, tree: &Recount) -> Result<()> {
        while let Some(next) = &self.next
            && next.size == tree.size()
        {
            tree.compare(next)?;
            self.met += 1;
            self.next = self.ahead.next();
        }
        Ok(())
    }

    /// Whether one of them has to be met before the tree has this size.
    pub(super) fn is_before(&self, size: u64) -> bool {
        self.next.as_ref().is_some_and(|next| next.size < size)
    }

    /// All of them were met.
    pub(super) fn end(self, tree: &Recount) -> Result<u64> {
        match self.ahead.last().or(self.next) {
            None => Ok(self.met),
            Some(beyond) => Err(cut_off(beyond.size, tree.size())),
        }
    }
}
