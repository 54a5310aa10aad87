//! Proofs that an entry is in the tree, and that one tree grew out of another (RFC 6962, sections 2.1.1
//! and 2.1.2): which hashes they hold, and how they are verified (RFC 9162, sections 2.1.3.2 and
//! 2.1.4.2). Pure: where the hashes come from is another's concern.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Hash, node_hash};

/// Leaves from the first to before the second.
pub type Range = (u64, u64);

/// The largest power of two that is smaller than `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The ranges whose hashes prove that leaf `index` is in the tree of `size` leaves, in the order of the
/// proof.
#[must_use]
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range> {
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose hashes prove that the tree of `old` leaves grew into that of `new` leaves.
#[must_use]
pub fn consistency_ranges(old: u64, new: u64) -> Vec<Range> {
    if old == 0 || old >= new {
        return Vec::new();
    }
    let (mut low, mut high) = (0, new);
    let mut ranges = Vec::new();
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    // Where the old tree is itself a complete subtree, its root is known already.
    if low > 0 {
        ranges.push((low, high));
    }
    ranges.reverse();
    ranges
}

/// The complete subtrees that a range of a proof consists of, from left to right: height and index.
#[must_use]
pub fn subtrees((low, high): Range) -> Vec<(u32, u64)> {
    let mut at = low;
    let mut found = Vec::new();
    while at < high {
        let height = (high - at).ilog2();
        found.push((height, at >> height));
        at += 1 << height;
    }
    found
}

/// Whether `proof` shows that `leaf` is at `index` in the tree of `size` leaves with this root.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `old` leaves with `old_root` grew into that of `new` leaves
/// with `new_root`.
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 || old >= new {
        // Everything grows out of nothing; nothing shrinks.
        return proof.is_empty() && (old == 0 || (old == new && old_root == new_root));
    }
    let mut steps = proof.iter();
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// A proof that whoever has the entry and the log's key verifies by herself (c2sp.org/tlog-proof@v1): the
/// index, the hashes from the leaf to the root, and the signed note of the checkpoint that they lead to.
#[must_use]
pub fn tlog_proof(index: u64, hashes: &[Hash], note: &str) -> String {
    let mut text = format!("c2sp.org/tlog-proof@v1\nindex {index}\n");
    for hash in hashes {
        text.push_str(&STANDARD.encode(hash));
        text.push('\n');
    }
    text + "\n" + note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::leaf_hash;

    fn leaves() -> Vec<Hash> {
        (0..70u32).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962, section 2.1.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            1 => leaves[0],
            n => {
                let middle = usize::try_from(split(n as u64)).unwrap();
                node_hash(&root(&leaves[..middle]), &root(&leaves[middle..]))
            }
        }
    }

    fn of(leaves: &[Hash], n: u64) -> Hash {
        root(&leaves[..usize::try_from(n).unwrap()])
    }

    fn hashes(leaves: &[Hash], ranges: &[Range]) -> Vec<Hash> {
        let hash = |&(low, high): &Range| {
            root(&leaves[usize::try_from(low).unwrap()..usize::try_from(high).unwrap()])
        };
        ranges.iter().map(hash).collect()
    }

    #[test]
    fn every_leaf_of_every_tree_is_proved_and_no_other() {
        let leaves = leaves();
        for size in 1..=70 {
            let whole = of(&leaves, size);
            for index in 0..size {
                let leaf = &leaves[usize::try_from(index).unwrap()];
                let mut proof = hashes(&leaves, &inclusion_ranges(index, size));
                assert!(verify_inclusion(leaf, index, size, &proof, &whole));
                assert!(!verify_inclusion(&[0; 32], index, size, &proof, &whole));
                assert!(!verify_inclusion(leaf, index ^ 1, size, &proof, &whole));
                proof.push([0; 32]);
                assert!(!verify_inclusion(leaf, index, size, &proof, &whole));
                if let Some(first) = proof.first_mut() {
                    first[0] ^= 1;
                }
                assert!(!verify_inclusion(leaf, index, size, &proof[..proof.len() - 1], &whole) || size == 1);
            }
            assert!(!verify_inclusion(&leaves[0], size, size, &[], &whole));
        }
    }

    #[test]
    fn every_tree_is_proved_to_grow_out_of_every_smaller_one() {
        let leaves = leaves();
        for new in 1..=70 {
            let new_root = of(&leaves, new);
            for old in 1..=new {
                let old_root = of(&leaves, old);
                let proof = hashes(&leaves, &consistency_ranges(old, new));
                assert!(verify_consistency(old, &old_root, new, &new_root, &proof), "{old} {new}");
                assert!(!verify_consistency(old, &[1; 32], new, &new_root, &proof));
                assert!(!verify_consistency(old, &old_root, new, &[1; 32], &proof));
                assert!(old == 1 || !verify_consistency(old - 1, &old_root, new, &new_root, &proof));
                for at in 0..proof.len() {
                    let mut altered = proof.clone();
                    altered[at][31] ^= 1;
                    assert!(!verify_consistency(old, &old_root, new, &new_root, &altered));
                    altered.remove(at);
                    assert!(!verify_consistency(old, &old_root, new, &new_root, &altered));
                }
            }
            assert!(!verify_consistency(new + 1, &new_root, new, &new_root, &[]));
        }
    }

    #[test]
    fn a_range_is_cut_into_complete_subtrees() {
        for size in 2..=70 {
            for index in 0..size {
                for range in inclusion_ranges(index, size) {
                    let mut at = range.0;
                    for (height, index) in subtrees(range) {
                        assert_eq!(index << height, at);
                        at += 1 << height;
                    }
                    assert_eq!(at, range.1);
                }
            }
        }
    }
}
