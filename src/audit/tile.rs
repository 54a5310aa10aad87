//! Tiles (C2SP tlog-tiles): the hashes of the tree by 256, under paths that never change their content.
//!
//! Complete tiles lie in `log_tiles`; those of the higher levels lie there from their first hash on. What
//! is missing of level 0 is made from the entries.

use std::collections::HashMap;

use super::{
    Edge, Hash, leaf_hash, node_hash,
    proof::{Range, consistency_ranges, inclusion_ranges, subtrees},
};
use crate::{
    base::{Problem, ProblemKind, Result},
    store::{Database, sql},
};

/// Hashes in a complete tile.
pub const WIDTH: u64 = 256;
/// The highest level of a tree of less than 2^63 leaves.
pub const HIGHEST_LEVEL: u8 = 7;
/// Longest entry that a bundle can hold, in bytes.
const LONGEST_ENTRY: usize = 65_535;

/// The number of a tile as paths have it: `x001/x234/067`.
#[must_use]
pub fn index_path(mut index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    while index >= 1000 {
        index /= 1000;
        path = format!("x{:03}/{path}", index % 1000);
    }
    path
}

/// The end of a tile's path: its number and width, 256 where it is complete.
#[must_use]
pub fn tile_path(index: u64, width: u64) -> String {
    if width == WIDTH { index_path(index) } else { format!("{}.p/{width}", index_path(index)) }
}

/// Reads what [`tile_path`] writes, and nothing else: one tile has one address.
#[must_use]
pub fn parse_tile_path(path: &str) -> Option<(u64, u64)> {
    let (number, width) = match path.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok()?),
        None => (path, WIDTH),
    };
    let mut index = 0u64;
    for group in number.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    let is_canonical = (1..=WIDTH).contains(&width) && tile_path(index, width) == path;
    is_canonical.then_some((index, width))
}

/// Entries as a bundle holds them: each after its length in two bytes, big-endian.
///
/// # Errors
/// `log-altered` where one is longer than an entry can be.
pub fn bundle(leaves: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(leaves.iter().map(|leaf| leaf.len() + 2).sum());
    for leaf in leaves {
        let length = u16::try_from(leaf.len())
            .map_err(|_| altered(format!("an entry is longer than {LONGEST_ENTRY} bytes")))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(leaf);
    }
    Ok(bytes)
}

/// Takes a bundle apart; nothing where it is cut off.
#[must_use]
pub fn unbundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut leaves = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (leaf, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        leaves.push(leaf);
        bytes = rest;
    }
    Some(leaves)
}

/// The root over hashes whose number is a power of two.
pub(super) fn fold(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// The leaves from `first` to before `end`; fewer where there are fewer.
///
/// # Errors
/// A problem of the database.
pub async fn leaves(database: &Database, first: u64, end: u64) -> Result<Vec<Vec<u8>>> {
    let rows: Vec<(i64, Vec<u8>)> = database
        .fetch_all(
            sql("SELECT idx, leaf FROM entries WHERE idx >= $1 AND idx < $2 ORDER BY idx")
                .bind(as_i64(first))
                .bind(as_i64(end)),
        )
        .await?;
    // A hole must not move what stands behind it.
    let at_place = rows.into_iter().zip(first..).take_while(|((idx, _), place)| as_i64(*place) == *idx);
    Ok(at_place.map(|((_, leaf), _)| leaf).collect())
}

/// The first `width` hashes of a tile; nothing where the log has not come so far.
///
/// # Errors
/// A problem of the database.
pub async fn hashes(database: &Database, level: u8, index: u64, width: u64) -> Result<Option<Vec<Hash>>> {
    let stored: Option<(Vec<u8>,)> = database
        .fetch_optional(
            sql("SELECT hashes FROM log_tiles WHERE level = $1 AND idx = $2")
                .bind(i64::from(level))
                .bind(as_i64(index)),
        )
        .await?;
    let wanted = usize::try_from(width).unwrap_or(usize::MAX);
    let found: Vec<Hash> = match stored {
        Some((bytes,)) => bytes.as_chunks::<32>().0.to_vec(),
        None if level == 0 => {
            let first = index.saturating_mul(WIDTH);
            let leaves = leaves(database, first, first.saturating_add(width)).await?;
            leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
        }
        None => Vec::new(),
    };
    Ok((found.len() >= wanted).then(|| found[..wanted].to_vec()))
}

/// Reads the tree of one size from its tiles.
pub struct TreeReader<'d> {
    database: &'d Database,
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'d> TreeReader<'d> {
    /// A reader of the tree of `size` leaves; tiles have to be written up to there.
    #[must_use]
    pub fn new(database: &'d Database, size: u64) -> Self {
        Self { database, size, tiles: HashMap::new() }
    }

    async fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash]> {
        if !self.tiles.contains_key(&(level, index)) {
            let there = (self.size >> (8 * u32::from(level))).saturating_sub(index * WIDTH).min(WIDTH);
            let found = hashes(self.database, level, index, there).await?.ok_or_else(|| {
                Problem::new(
                    ProblemKind::LogIncomplete,
                    format!("tile {index} of level {level} of the log is not there"),
                )
            })?;
            self.tiles.insert((level, index), found);
        }
        Ok(&self.tiles[&(level, index)])
    }

    /// The hash of a complete subtree of 2^`height` leaves.
    async fn subtree(&mut self, height: u32, index: u64) -> Result<Hash> {
        let (level, within) = (height / 8, height % 8);
        let first = index << within;
        let tile = self.tile(u8::try_from(level).unwrap_or(u8::MAX), first / WIDTH).await?;
        let from = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        let span = tile.get(from..from + (1 << within));
        span.map(fold).ok_or_else(|| altered("a tile of the log is too short".to_owned()))
    }

    /// The hash over a range of a proof.
    async fn range(&mut self, range: Range) -> Result<Hash> {
        let mut hash = None;
        for (height, index) in subtrees(range).into_iter().rev() {
            let left = self.subtree(height, index).await?;
            hash = Some(hash.map_or(left, |right| node_hash(&left, &right)));
        }
        hash.ok_or_else(|| Problem::internal("an empty range has no hash"))
    }

    async fn ranges(&mut self, ranges: Vec<Range>) -> Result<Vec<Hash>> {
        let mut hashes = Vec::with_capacity(ranges.len());
        for range in ranges {
            hashes.push(self.range(range).await?);
        }
        Ok(hashes)
    }

    /// The root; the tree has a leaf at least.
    ///
    /// # Errors
    /// `log-incomplete` where a tile is not there; else a problem of the database.
    pub async fn root(&mut self) -> Result<Hash> {
        self.range((0, self.size)).await
    }

    /// The roots of complete subtrees of it: height and index.
    ///
    /// # Errors
    /// As [`Self::root`].
    pub async fn subtrees(&mut self, subtrees: &[(u32, u64)]) -> Result<Vec<Hash>> {
        let mut roots = Vec::with_capacity(subtrees.len());
        for (height, index) in subtrees {
            roots.push(self.subtree(*height, *index).await?);
        }
        Ok(roots)
    }

    /// Its right edge, from which it grows on.
    pub(super) async fn edge(&mut self) -> Result<Edge> {
        let mut roots = Vec::new();
        for (height, index) in subtrees((0, self.size)) {
            roots.extend_from_slice(&self.subtree(height, index).await?);
        }
        Edge::from_stored(self.size, &roots).ok_or_else(|| Problem::internal("the edge of a tree is wrong"))
    }

    /// Proves that leaf `index` is in it.
    ///
    /// # Errors
    /// As [`Self::root`]; `not-found` beyond its end.
    pub async fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>> {
        if index >= self.size {
            return Err(Problem::not_found(format!("there is no entry {index} in a log of {}", self.size)));
        }
        self.ranges(inclusion_ranges(index, self.size)).await
    }

    /// Proves that it grew out of the tree of `old` leaves.
    ///
    /// # Errors
    /// As [`Self::root`]; `invalid-request` where that is larger.
    pub async fn consistency(&mut self, old: u64) -> Result<Vec<Hash>> {
        if old > self.size {
            return Err(Problem::invalid(format!("a log of {old} entries did not grow into {}", self.size)));
        }
        self.ranges(consistency_ranges(old, self.size)).await
    }
}

pub(super) fn altered(detail: String) -> Problem {
    Problem::new(ProblemKind::LogAltered, detail)
}

/// Sizes and indices are BIGINT in the database; a log of 2^63 entries will not be seen.
pub(super) fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_path() {
        assert_eq!(index_path(5), "005");
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        assert_eq!(tile_path(1000, 7), "x001/000.p/7");
        for (index, width) in [(0, 256), (999, 1), (1000, 255), (1_234_067, 256)] {
            assert_eq!(parse_tile_path(&tile_path(index, width)), Some((index, width)));
        }
        for bad in [
            "",
            "5",
            "05",
            "0005",
            "x000/005",
            "x5/005",
            "005/006",
            "x005",
            "005.p/0",
            "005.p/256",
            "005.p/257",
            "005.p/07",
            "005.p/",
            "005.p/-1",
            "005.p/1.p/1",
            "../005",
            "00\u{0661}",
            "+05",
            "x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parse_tile_path(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_as_a_path_is_written_so(text in "[x0-9./p]{0,16}") {
            if let Some((index, width)) = parse_tile_path(&text) {
                proptest::prop_assert_eq!(tile_path(index, width), text);
            }
        }

        #[test]
        fn bundles_are_taken_apart_as_they_were_put_together(
            leaves in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..300), 0..9),
            cut in 1usize..40,
        ) {
            let bytes = bundle(&leaves).unwrap();
            proptest::prop_assert_eq!(unbundle(&bytes).unwrap(), leaves.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let cut = bytes.len().saturating_sub(cut);
            proptest::prop_assert!(unbundle(&bytes[..cut]).is_none_or(|found| found.len() < leaves.len() || cut == bytes.len()));
        }
    }
}
