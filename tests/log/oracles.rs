//! What others wrote to read such logs, over everything that we write: `signed_note` and `tlog_tiles` (C2SP),
//! `ct-merkle` (RFC 6962).

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use data_encoding::BASE64;
use libtest_mimic::Trial;
use port_control::audit::{
    Checkpoint, Edge, Hash, VerifierKey, leaf_hash, node_hash,
    proof::{Range, consistency_ranges, inclusion_ranges, subtrees, verify_consistency, verify_inclusion},
    tile::unbundle,
    verify::published::Piece,
};
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
};

use super::published::{Files, Published, pieces};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite, trial},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = vec![
        trial("log::oracles_believe_every_proof", || async { every_proof() }),
        trial("log::verifying_shares_no_code_with_appending", || async { no_shared_code() }),
    ];
    trials.extend(on_sqlite(peers, "log::oracles_read_what_is_published", what_is_published));
    trials
}

/// A tree of which every complete subtree is at hand.
struct Tree {
    levels: Vec<Vec<Hash>>,
}

fn leaf(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

impl Tree {
    fn new(size: u64) -> Self {
        let mut levels = vec![(0..size).map(|n| leaf_hash(&leaf(n))).collect::<Vec<_>>()];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect());
        }
        Self { levels }
    }

    fn range(&self, range: Range) -> Hash {
        let parts = subtrees(range).into_iter().rev();
        let hash = |(height, index): (u32, u64)| {
            self.levels[usize::try_from(height).unwrap()][usize::try_from(index).unwrap()]
        };
        parts.map(hash).reduce(|right, left| node_hash(&left, &right)).unwrap()
    }

    fn ranges(&self, ranges: Vec<Range>) -> Vec<Hash> {
        ranges.into_iter().map(|range| self.range(range)).collect()
    }

    fn root(&self, size: u64) -> Hash {
        self.range((0, size))
    }

    fn included(&self, index: u64, size: u64) -> Result<()> {
        let (proof, root) = (self.ranges(inclusion_ranges(index, size)), self.root(size));
        ensure!(verify_inclusion(&leaf_hash(&leaf(index)), index, size, &proof, &root), "ours");
        ct_merkle_includes(&leaf(index), index, size, &proof, &root)?;
        let hash = tlog_tiles::record_hash(&leaf(index));
        check_record(&theirs(&proof), size, tlog_tiles::Hash(root), index, hash)
            .map_err(|e| anyhow!("tlog_tiles: entry {index} of {size}: {e}"))
    }

    fn grew(&self, old: u64, new: u64) -> Result<()> {
        let proof = self.ranges(consistency_ranges(old, new));
        let (before, after) = (self.root(old), self.root(new));
        ensure!(verify_consistency(old, &before, new, &after, &proof), "ours: {old} {new}");
        let digests: Vec<_> = proof.iter().map(|hash| (*hash).into()).collect();
        RootHash::<Sha256>::new(after.into(), new)
            .verify_consistency(&RootHash::new(before.into(), old), &ConsistencyProof::from_digests(&digests))
            .map_err(|e| anyhow!("ct-merkle: {old} to {new}: {e:?}"))?;
        check_tree(&theirs(&proof), new, tlog_tiles::Hash(after), old, tlog_tiles::Hash(before))
            .map_err(|e| anyhow!("tlog_tiles: {old} to {new}: {e}"))
    }
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(*hash)).collect()
}

fn ct_merkle_includes(leaf: &[u8], index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<()> {
    let digests: Vec<_> = proof.iter().map(|hash| (*hash).into()).collect();
    RootHash::<Sha256>::new((*root).into(), size)
        .verify_inclusion(&leaf, index, &InclusionProof::from_digests(&digests))
        .map_err(|e| anyhow!("ct-merkle: entry {index} of {size}: {e:?}"))
}

/// Places around those where the shape of a tree changes.
fn around(size: u64, places: &[u64]) -> BTreeSet<u64> {
    let near = places.iter().flat_map(|at| [at.saturating_sub(1), *at, at + 1]);
    near.filter(|at| *at < size).collect()
}

const EDGES: &[u64] = &[0, 1, 64, 128, 255, 256, 257, 511, 512, 767, 768, 65_535, 65_536];

fn every_proof() -> Result<()> {
    let tree = Tree::new(65_536 + 257);
    for size in 1..=64 {
        for at in 0..size {
            tree.included(at, size)?;
            tree.grew(at + 1, size)?;
        }
    }
    let far = [767, 768, 769, 1024, 65_535, 65_536, 65_537, 65_536 + 256, 65_536 + 257];
    for size in (65..=600).chain(far) {
        let mut places = around(size, &[0, size / 2, size - 1]);
        if size % 16 < 2 || size > 600 {
            places.extend(around(size, EDGES));
        }
        for at in places {
            tree.included(at, size)?;
            tree.grew(at + 1, size)?;
        }
    }
    Ok(())
}

/// The files, as `tlog_tiles` asks for them.
struct Shelf<'f>(&'f Files);

impl TileReader for Shelf<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| self.0.get(&our_path(tile)).cloned().ok_or(tlog_tiles::Error::InvalidTile);
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The crate has paths of an older draft: `tile/8/0/…` and `tile/8/data/…`.
fn our_path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1).replacen("tile/data/", "tile/entries/", 1)
}

fn opened_by_signed_note(note: &str, key: &VerifierKey) -> Result<tlog_tiles::Checkpoint> {
    let verifier = StandardVerifier::new(&key.to_string()).map_err(|e| anyhow!("the key: {e}"))?;
    let read = Note::from_bytes(note.as_bytes()).map_err(|e| anyhow!("the note: {e}"))?;
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let (signatures, _) = read.verify(&known).map_err(|e| anyhow!("the signature: {e}"))?;
    ensure!(signatures.len() == 1, "signed {} times", signatures.len());
    tlog_tiles::Checkpoint::from_bytes(read.text()).map_err(|e| anyhow!("the checkpoint: {e}"))
}

async fn what_is_published(given: Given) -> Result<()> {
    let published = Published::new(&given).await?;
    let (first, _) = published.checkpoint().await?;
    published.grow(250).await?;
    let (checkpoint, files) = published.files().await?;
    let note = std::str::from_utf8(&files["checkpoint"])?;
    let read = opened_by_signed_note(note, &published.key)?;
    ensure!(read.origin() == checkpoint.origin && read.size() == checkpoint.size, "{read:?}");
    ensure!(read.hash().0 == checkpoint.root && read.extension().is_empty(), "{read:?}");
    the_tiles_are_those_that_are_due(&files, checkpoint.size)?;
    the_tree_is_read(&files, &first, &checkpoint)?;
    bundles_hold_the_entries(&files, &checkpoint)?;
    for index in [0, 1, 255, 256, checkpoint.size - 1] {
        let leaf = entry(&files, index)?;
        proof_stands_alone(&published.client.audit_proof(index).await?, index, &leaf, &published.key)?;
    }
    every_partial_tile_is_served(&published, &first).await?;
    headers(&published).await
}

/// Exactly the tiles that the specification has for a tree of this size.
fn the_tiles_are_those_that_are_due(files: &Files, size: u64) -> Result<()> {
    let ours: BTreeSet<Piece> = pieces(files)?.into_iter().collect();
    let mut due: BTreeSet<Piece> = BTreeSet::new();
    for tile in Tile::new_tiles(8, 0, size) {
        due.insert(Piece::from_path(&our_path(&tile)).context("a path of theirs is none of ours")?);
        if tile.level() == 0 {
            let data = Tile::new(8, 0, tile.level_index(), tile.width(), true);
            due.insert(Piece::from_path(&our_path(&data)).context("a path of theirs is none of ours")?);
        }
    }
    ensure!(ours == due, "{ours:?} and {due:?}");
    Ok(())
}

fn the_tree_is_read(files: &Files, first: &Checkpoint, newest: &Checkpoint) -> Result<()> {
    let shelf = Shelf(files);
    let root = tlog_tiles::Hash(newest.root);
    let reader = TileHashReader::new(newest.size, root, &shelf);
    for index in 0..newest.size {
        let hashes = reader
            .read_hashes(&[tlog_tiles::stored_hash_index(0, index)])
            .map_err(|e| anyhow!("entry {index}: {e}"))?;
        let leaf = entry(files, index)?;
        ensure!(hashes[0] == tlog_tiles::record_hash(&leaf), "entry {index} has another hash");
        if index % 50 == 0 {
            let proof = prove_record(newest.size, index, &reader).map_err(|e| anyhow!("{index}: {e}"))?;
            check_record(&proof, newest.size, root, index, hashes[0]).map_err(|e| anyhow!("{index}: {e}"))?;
        }
    }
    let proof = prove_tree(newest.size, first.size, &reader).map_err(|e| anyhow!("growth: {e}"))?;
    check_tree(&proof, newest.size, root, first.size, tlog_tiles::Hash(first.root))
        .map_err(|e| anyhow!("growth: {e}"))
}

fn entry(files: &Files, index: u64) -> Result<Vec<u8>> {
    let of = |(path, bytes): (&String, &Vec<u8>)| match Piece::from_path(path)? {
        Piece::Entries { number, .. } if number == index / 256 => {
            Some(unbundle(bytes)?.get(usize::try_from(index % 256).ok()?)?.to_vec())
        }
        _ => None,
    };
    files.iter().find_map(of).with_context(|| format!("entry {index} is not there"))
}

/// Read by the words of the specification: lengths of two bytes, big-endian.
fn bundles_hold_the_entries(files: &Files, checkpoint: &Checkpoint) -> Result<()> {
    let mut tree = Edge::empty();
    let bundles = files.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
    for (path, bytes) in bundles {
        let mut rest = bytes.as_slice();
        while let [high, low, body @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            ensure!(body.len() >= length, "{path} is cut off");
            tree.push(tlog_tiles::record_hash(&body[..length]).0);
            rest = &body[length..];
        }
        ensure!(rest.is_empty(), "{path} has something left over");
    }
    ensure!(tree.size() == checkpoint.size && tree.root() == checkpoint.root);
    Ok(())
}

/// c2sp.org/tlog-proof@v1, line by line, with nothing but the entry and the key.
fn proof_stands_alone(text: &str, index: u64, leaf: &[u8], key: &VerifierKey) -> Result<()> {
    let (proof, note) = text.split_once("\n\n").context("no empty line")?;
    let mut lines = proof.split('\n');
    ensure!(lines.next() == Some("c2sp.org/tlog-proof@v1"), "{text}");
    ensure!(lines.next() == Some(format!("index {index}").as_str()), "{text}");
    let mut hashes: Vec<Hash> = Vec::new();
    for line in lines {
        let hash = BASE64.decode(line.as_bytes())?;
        hashes.push(hash.try_into().map_err(|_| anyhow!("no hash of 32 bytes: {line}"))?);
    }
    let read = opened_by_signed_note(note, key)?;
    ct_merkle_includes(leaf, index, read.size(), &hashes, &read.hash().0)?;
    check_record(&theirs(&hashes), read.size(), *read.hash(), index, tlog_tiles::record_hash(leaf))
        .map_err(|e| anyhow!("tlog_tiles: {e}"))
}

/// What belonged to an older checkpoint is still there, and reads as a tree of that size.
async fn every_partial_tile_is_served(published: &Published, older: &Checkpoint) -> Result<()> {
    let mut files = Files::new();
    for tile in Tile::new_tiles(8, 0, older.size) {
        let piece = Piece::from_path(&our_path(&tile)).context("no path of ours")?;
        files.insert(piece.path(), published.client.audit_piece(&piece).await?);
    }
    let shelf = Shelf(&files);
    let reader = TileHashReader::new(older.size, tlog_tiles::Hash(older.root), &shelf);
    let last = [tlog_tiles::stored_hash_index(0, older.size - 1)];
    reader.read_hashes(&last).map_err(|e| anyhow!("the tree of {}: {e}", older.size))?;
    Ok(())
}

async fn headers(published: &Published) -> Result<()> {
    let house = &published.house;
    for (path, cache) in [
        ("/audit/log/checkpoint", "no-cache"),
        ("/audit/log/tile/0/000", "public, max-age=31536000, immutable"),
        ("/audit/log/tile/1/000.p/1", "public, max-age=31536000, immutable"),
        ("/audit/log/tile/entries/000", "public, max-age=31536000, immutable"),
        ("/audit/log/tile/entries/001.p/3", "public, max-age=31536000, immutable"),
    ] {
        let answer = house.request(reqwest::Method::GET, path).send().await?;
        let header = |name: &str| answer.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or("");
        ensure!(answer.status() == 200 && header("cache-control") == cache, "{path}: {:?}", answer.headers());
        let of_tile = header("content-type") == "application/octet-stream";
        ensure!(of_tile == path.contains("tile"), "{path}: {:?}", answer.headers());
    }
    let size = published.checkpoint().await?.0.size;
    for (path, problem, status) in [
        ("/audit/v1/consistency?from=9&to=3".to_owned(), "invalid-request", 400),
        (format!("/audit/v1/consistency?from=1&to={}", size + 1), "invalid-request", 400),
        ("/audit/v1/bundle?from=9&to=3".to_owned(), "invalid-request", 400),
        (format!("/audit/v1/bundle?to={}", u64::MAX), "invalid-request", 400),
        ("/audit/v1/bundle?of=everything".to_owned(), "invalid-request", 400),
        (format!("/audit/v1/entries/{size}/proof"), "not-found", 404),
        ("/audit/log/tile/0/000.p/0".to_owned(), "invalid-request", 400),
        ("/audit/log/tile/9/000".to_owned(), "not-found", 404),
    ] {
        house.get(&published.aya, &path).await?.is_problem(status, problem).context(path)?;
    }
    let grown = house.get(&published.aya, "/audit/v1/consistency?from=100&to=200").await?.done()?;
    let hashes = grown["hashes"].as_array().context("no hashes")?.len();
    ensure!(hashes == consistency_ranges(100, 200).len(), "{grown}");
    Ok(())
}

/// By text: what verifies uses nothing of what appends but the hash.
fn no_shared_code() -> Result<()> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/verify"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    ensure!(files.len() > 2, "{files:?}");
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in [
            "Edge",
            "Log,",
            "Signer",
            "Unit",
            "Work",
            "seal",
            "writer",
            "tile::fold",
            "tile::bundle",
            "log::",
        ] {
            if let Some(line) =
                code.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(word))
            {
                bail!("{} uses '{word}', which appends: {line}", file.display());
            }
        }
    }
    Ok(())
}
