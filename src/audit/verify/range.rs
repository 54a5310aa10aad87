//! Which entries a bundle holds, and how they hang in the tree: the roots of the complete subtrees to the
//! left and to the right of them, so that all of them together are shown with at most 128 hashes.

use serde::{Deserialize, Serialize};

use super::{Recount, export::malformed};
use crate::{
    audit::Hash,
    base::{Problem, Result, hex},
};

/// A range of the log, and what stands beside it in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first entry.
    pub from: u64,
    /// Before this one it ends.
    pub to: u64,
    /// Roots of the complete subtrees before it, from left to right, in hexadecimal.
    pub left: Vec<String>,
    /// Roots of the complete subtrees after it, from left to right, in hexadecimal.
    pub right: Vec<String>,
}

/// The largest complete subtrees that cover the leaves from `low` to before `high`, from left to right:
/// height and index. Each begins at a multiple of its width.
#[must_use]
pub fn cover(low: u64, high: u64) -> Vec<(u32, u64)> {
    let mut at = low;
    let mut found = Vec::new();
    while at < high {
        let height = (high - at).ilog2().min(at.trailing_zeros());
        found.push((height, at >> height));
        at += 1 << height;
    }
    found
}

impl Range {
    /// All entries of a log: nothing stands beside them.
    #[must_use]
    pub fn whole(size: u64) -> Self {
        Self { from: 0, to: size, left: Vec::new(), right: Vec::new() }
    }

    /// The tree as far as it stands before the range, and the subtrees after it.
    pub(super) fn open(&self, size: u64) -> Result<(Recount, Vec<(u32, Hash)>)> {
        if self.from > self.to || self.to > size {
            return Err(malformed("its range is none of the log that was signed"));
        }
        let mut tree = Recount::default();
        for (height, root) in beside(0, self.from, &self.left)? {
            tree.push_subtree(height, root);
        }
        Ok((tree, beside(self.to, size, &self.right)?))
    }
}

fn beside(low: u64, high: u64, hashes: &[String]) -> Result<Vec<(u32, Hash)>> {
    let subtrees = cover(low, high);
    if subtrees.len() != hashes.len() {
        return Err(malformed("what stands beside its range is not as many hashes as it takes"));
    }
    let read = |((height, _), text): ((u32, u64), &String)| {
        let hash = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
        // One hash has one spelling.
        let hash = hash.filter(|hash: &Hash| hex::encode(hash) == *text);
        hash.map(|hash| (height, hash)).ok_or_else(not_a_hash)
    };
    subtrees.into_iter().zip(hashes).map(read).collect()
}

fn not_a_hash() -> Problem {
    malformed("what stands beside its range is no hash")
}
