//! What holds of the tree, its proofs and its parsers whatever they are given.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    Checkpoint, Edge, Hash, VerifierKey, leaf_hash,
    note::{open, sign},
    proof::{consistency_ranges, inclusion_ranges, subtrees, verify_consistency, verify_inclusion},
    verify::{Recount, archive::Manifest},
    witness::WitnessKey,
};
use crate::keys::LogSigner;

/// A tree, by the definition.
fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Recount::default();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn of(leaves: &[Hash], ranges: &[(u64, u64)]) -> Vec<Hash> {
    let at = |n: u64| usize::try_from(n).unwrap();
    ranges.iter().map(|(low, high)| root(&leaves[at(*low)..at(*high)])).collect()
}

/// What one can do to a proof: change a bit of it, lose a hash, add one, or turn two round.
fn spoilt(proof: &[Hash], how: u8, at: Index, bit: Index) -> Option<Vec<Hash>> {
    let mut proof = proof.to_vec();
    match how {
        0 if !proof.is_empty() => {
            let (at, bit) = (at.index(proof.len()), bit.index(256));
            proof[at][bit / 8] ^= 1 << (bit % 8);
        }
        1 if !proof.is_empty() => drop(proof.remove(at.index(proof.len()))),
        2 => proof.insert(at.index(proof.len() + 1), [0; 32]),
        3 if proof.len() > 1 => {
            let at = at.index(proof.len() - 1);
            proof.swap(at, at + 1);
        }
        _ => return None,
    }
    Some(proof)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_tree_that_appends_and_the_one_that_verifies_are_one(count in 0usize..700) {
        let (mut edge, leaves) = (Edge::empty(), leaves(count));
        for leaf in &leaves {
            edge.push(*leaf);
        }
        prop_assert_eq!(edge.root(), root(&leaves));
        let stored = Edge::from_stored(edge.size(), &edge.to_bytes());
        prop_assert_eq!(stored.as_ref(), Some(&edge));
    }

    #[test]
    fn a_proof_of_inclusion_fits_its_entry_and_nothing_else(
        count in 1usize..400, which: Index, other: Index, how in 0u8..4, at: Index, bit: Index,
    ) {
        let (leaves, index) = (leaves(count), which.index(count));
        let (place, size) = (index as u64, count as u64);
        let (root, proof) = (root(&leaves), of(&leaves, &inclusion_ranges(place, size)));
        prop_assert!(verify_inclusion(&leaves[index], place, size, &proof, &root));
        let another = other.index(count);
        if another != index {
            prop_assert!(!verify_inclusion(&leaves[another], place, size, &proof, &root));
            prop_assert!(!verify_inclusion(&leaves[index], another as u64, size, &proof, &root));
        }
        prop_assert!(!verify_inclusion(&leaves[index], place, place, &proof, &root), "beyond the tree");
        if let Some(spoilt) = spoilt(&proof, how, at, bit) {
            prop_assert!(!verify_inclusion(&leaves[index], place, size, &spoilt, &root));
        }
    }

    #[test]
    fn a_proof_of_growth_fits_its_two_trees_and_no_others(
        count in 1usize..400, which: Index, how in 0u8..4, at: Index, bit: Index, changed: Index,
    ) {
        let (mut leaves, old) = (leaves(count), which.index(count) + 1);
        let (before, after) = (root(&leaves[..old]), root(&leaves));
        let (from, to) = (old as u64, count as u64);
        let proof = of(&leaves, &consistency_ranges(from, to));
        prop_assert!(verify_consistency(from, &before, to, &after, &proof));
        if let Some(spoilt) = spoilt(&proof, how, at, bit) {
            prop_assert!(!verify_consistency(from, &before, to, &after, &spoilt));
        }
        // One entry of before was rewritten, and everything after it computed anew.
        leaves[changed.index(old)] = [7; 32];
        let rewritten = root(&leaves);
        let proof = of(&leaves, &consistency_ranges(from, to));
        prop_assert!(!verify_consistency(from, &before, to, &rewritten, &proof));
    }

    #[test]
    fn ranges_are_made_of_complete_subtrees(count in 1u64..5000, which: Index) {
        let index = which.index(usize::try_from(count).unwrap()) as u64;
        for range in inclusion_ranges(index, count) {
            let mut at = range.0;
            for (height, number) in subtrees(range) {
                prop_assert_eq!(number << height, at);
                at += 1 << height;
            }
            prop_assert_eq!(at, range.1);
        }
    }

    #[test]
    fn a_note_is_believed_as_it_was_signed_and_not_with_a_byte_changed(
        size: u64, root: Hash, at: Index, by in 1u8..,
    ) {
        let signer = LogSigner::from_seed(&[1; 32]);
        let key = VerifierKey::new("example.com/log", signer.public_key()).unwrap();
        let checkpoint = Checkpoint { origin: "example.com/log".to_owned(), size, root };
        let note = sign(&checkpoint.body(), "example.com/log", &[signer]);
        let body = checkpoint.body();
        prop_assert_eq!(open(&note, &key), Ok(body.as_str()));
        let mut bytes = note.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(open(&changed, &key).is_err(), "{changed:?}");
        }
    }

    #[test]
    fn whatever_is_read_is_written_so(text in prop_oneof![
        ".{0,60}",
        "manifest/[0-9]{1,3}-[0-9]{1,3}\\.json",
        "[a-z./]{1,9}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/=]{1,48}",
    ], public: Hash) {
        if let Some((from, to)) = Manifest::range_of(&text) {
            prop_assert_eq!(Manifest::path(from, to), text.clone());
        }
        if let Ok(key) = text.parse::<WitnessKey>() {
            prop_assert_eq!(key.to_string(), text.trim());
        }
        let key = WitnessKey::new("witness.example.com/w", public).unwrap();
        prop_assert_eq!(key.to_string().parse::<WitnessKey>(), Ok(key));
    }

    #[test]
    fn whatever_stands_in_a_note_nothing_panics(lines in vec(".{0,40}|— [a-z]{1,5} [A-Za-z0-9+/=]{1,100}", 0..6)) {
        let key = VerifierKey::new("example.com/log", [9; 32]).unwrap();
        prop_assert!(open(&lines.join("\n"), &key).is_err());
    }
}
