//! The RFC 6962 tree as far as appending needs it: the roots of its complete subtrees.

use ring::digest::{SHA256, digest};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = ring::digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Hash of a leaf: SHA-256(0x00 ‖ entry) (RFC 6962, section 2.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 6962, section 2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The right edge of a tree: the roots of its complete subtrees, the largest first. There is one for
/// each bit that is set in the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

impl Edge {
    /// The tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self { size: 0, roots: Vec::new() }
    }

    /// The edge that was stored, where it fits the size.
    #[must_use]
    pub fn from_stored(size: u64, bytes: &[u8]) -> Option<Self> {
        let (roots, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && roots.len() == size.count_ones() as usize;
        fits.then(|| Self { size, roots: roots.to_vec() })
    }

    /// The edge as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, given its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one bit of the size is a subtree that the new leaf completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// Root of the whole tree; of the empty one SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, b"").as_ref());
            return hash;
        };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word.
    fn root_of(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => Edge::empty().root(),
            1 => leaves[0],
            n => {
                let split = n.next_power_of_two() / 2;
                node_hash(&root_of(&leaves[..split]), &root_of(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_definition_at_every_size() {
        let leaves: Vec<Hash> = (0..300u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut edge = Edge::empty();
        for (n, leaf) in leaves.iter().enumerate() {
            assert_eq!(edge.root(), root_of(&leaves[..n]));
            edge.push(*leaf);
            assert_eq!(Edge::from_stored(edge.size(), &edge.to_bytes()), Some(edge.clone()));
        }
    }
}
