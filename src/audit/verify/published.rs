//! Verifying a log as it is published (C2SP tlog-tiles): each entry and each hash of the tree, file by
//! file, against the signed checkpoint. Where the files come from is another's concern; no more than a
//! tile of each level is held.

use std::collections::VecDeque;

use super::{Recount, cut_off, incomplete, leaf::time_of, recount::Waypoints};
use crate::{
    audit::{
        Checkpoint, Hash, leaf_hash,
        opened::entry_altered,
        tile::{WIDTH, altered, parse_tile_path, tile_path, unbundle},
    },
    base::{Problem, Result, hex},
};

/// A file of a published log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Entries, 256 or fewer.
    Entries {
        /// Which.
        number: u64,
        /// How many.
        width: u64,
    },
    /// Hashes of one level, 256 or fewer.
    Hashes {
        /// 0 has those of the entries.
        level: u8,
        /// Which.
        number: u64,
        /// How many.
        width: u64,
    },
}

impl Piece {
    /// Its path below the log's: `tile/entries/x001/234.p/56`.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Entries { number, width } => format!("tile/entries/{}", tile_path(*number, *width)),
            Self::Hashes { level, number, width } => format!("tile/{level}/{}", tile_path(*number, *width)),
        }
    }

    /// Reads what [`Self::path`] writes, and nothing else.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = parse_tile_path(rest)?;
        if level == "entries" {
            return Some(Self::Entries { number, width });
        }
        let found = Self::Hashes { level: level.parse().ok().filter(|it| *it < 64)?, number, width };
        (found.path() == path).then_some(found)
    }

    /// Whether a log of `size` entries has it: the complete one, or the beginning of it.
    #[must_use]
    pub fn is_within(&self, size: u64) -> bool {
        let (level, number, width) = self.parts();
        let there = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        number.checked_mul(WIDTH).and_then(|it| it.checked_add(width)).is_some_and(|end| end <= there)
    }

    /// The same piece, of which less is there.
    #[must_use]
    pub fn narrower(&self, to: u64) -> Self {
        match *self {
            Self::Entries { number, .. } => Self::Entries { number, width: to },
            Self::Hashes { level, number, .. } => Self::Hashes { level, number, width: to },
        }
    }

    /// How many entries or hashes it holds.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.parts().2
    }

    /// What its first `width` entries or hashes look like, given the whole of it.
    #[must_use]
    pub fn beginning<'b>(&self, whole: &'b [u8], width: u64) -> Option<&'b [u8]> {
        let width = usize::try_from(width).ok()?;
        let end = match self {
            Self::Hashes { .. } => width * 32,
            Self::Entries { .. } => unbundle(whole)?.iter().take(width).map(|leaf| leaf.len() + 2).sum(),
        };
        whole.get(..end)
    }

    /// What a file of entries comes to, worked out without what lies before it: that can be done on as many
    /// cores as there are.
    ///
    /// # Errors
    /// `log-incomplete` where it is too short; `log-altered` with the entry that is no entry.
    pub fn digest(&self, bytes: &[u8]) -> Result<Digested> {
        let path = self.path();
        let leaves = unbundle(bytes).ok_or_else(|| {
            altered(format!("{path} cannot be taken apart into entries")).with("path", path.clone())
        })?;
        refuse_width(self, leaves.len() as u64)?;
        let (_, number, _) = self.parts();
        let mut times: Option<(i64, i64)> = None;
        let (mut hashes, mut subtree) = (Vec::with_capacity(leaves.len()), Recount::default());
        for (index, leaf) in (number * WIDTH..).zip(leaves) {
            let time = time_of(leaf).map_err(|why| entry_altered(index, &why))?;
            let (first, last) = times.unwrap_or((time, time));
            refuse_older(index, time, last)?;
            times = Some((first, time));
            let hash = leaf_hash(leaf);
            hashes.push(hash);
            subtree.push(hash);
        }
        Ok(Digested { hashes, root: subtree.root(), times })
    }

    fn parts(&self) -> (u8, u64, u64) {
        match *self {
            Self::Entries { number, width } => (0, number, width),
            Self::Hashes { level, number, width } => (level, number, width),
        }
    }
}

/// What a file of entries comes to.
#[derive(Debug)]
pub struct Digested {
    hashes: Vec<Hash>,
    root: Hash,
    /// The time of the first and the last.
    times: Option<(i64, i64)>,
}

fn refuse_older(index: u64, time: i64, before: i64) -> Result<()> {
    if time < before {
        return Err(entry_altered(index, "it is older than the one before it"));
    }
    Ok(())
}

/// A file that is not there.
#[must_use]
pub fn no_piece(path: &str) -> Problem {
    incomplete(format!("{path} of the log is not there")).with("path", path.to_owned())
}

/// Takes the files of a published log in, and holds them against a checkpoint and against older ones.
pub struct PublishedCheck {
    checkpoint: Checkpoint,
    seen: Waypoints,
    tree: Recount,
    /// Of each level the hashes of the tile that is not complete yet.
    open: Vec<Vec<Hash>>,
    /// Tiles that have to be there next, with what has to be in them.
    due: VecDeque<(Piece, Vec<Hash>)>,
    newest_time: i64,
}

impl PublishedCheck {
    /// A check against this checkpoint, and against older ones of the same log.
    ///
    /// # Errors
    /// `log-incomplete` where an older one is of a larger log; `log-altered` where one of the same size, or
    /// of none, has another root.
    pub fn new(checkpoint: Checkpoint, seen: Vec<Checkpoint>) -> Result<Self> {
        if let Some(larger) = seen.iter().find(|it| it.size > checkpoint.size) {
            return Err(cut_off(larger.size, checkpoint.size));
        }
        if let Some(other) = seen.iter().find(|it| it.size == checkpoint.size && it.root != checkpoint.root) {
            return Err(split_view(&checkpoint, other));
        }
        let mut seen = Waypoints::new(seen);
        let tree = Recount::default();
        seen.pass(&tree)?;
        let (open, due) = (vec![Vec::new()], VecDeque::new());
        Ok(Self { checkpoint, seen, tree, open, due, newest_time: i64::MIN })
    }

    /// Which file is wanted next; nothing where all were taken.
    #[must_use]
    pub fn wanted(&self) -> Option<Piece> {
        if let Some((piece, _)) = self.due.front() {
            return Some(*piece);
        }
        let left = self.left();
        (left > 0).then(|| Piece::Entries { number: self.tree.size() / WIDTH, width: left.min(WIDTH) })
    }

    /// Number of entries that are to be taken in yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.checkpoint.size - self.tree.size()
    }

    /// Number of entries that were taken in.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Takes the file that was wanted.
    ///
    /// # Errors
    /// `log-incomplete` where it is too short; `log-altered` with what was expected and what was found.
    pub fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self.due.pop_front() {
            Some((piece, expected)) => refuse_tile(piece, &expected, bytes),
            None => match self.wanted() {
                Some(piece) => self.take_digested(piece.digest(bytes)?),
                None => Ok(()),
            },
        }
    }

    /// Takes the file of entries that was wanted, after it was digested.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_digested(&mut self, it: Digested) -> Result<()> {
        let Digested { hashes, root, times } = it;
        if let Some((first, last)) = times {
            refuse_older(self.tree.size(), first, self.newest_time)?;
            self.newest_time = last;
        }
        let is_whole = hashes.len() as u64 == WIDTH;
        if is_whole && !self.seen.is_before(self.tree.size() + WIDTH) {
            self.tree.push_subtree(WIDTH.ilog2(), root);
            self.seen.pass(&self.tree)?;
        } else {
            for hash in &hashes {
                self.tree.push(*hash);
                self.seen.pass(&self.tree)?;
            }
        }
        self.open[0] = hashes;
        if is_whole {
            self.complete_tiles(root);
        }
        if self.tree.size() == self.checkpoint.size {
            self.partial_tiles();
        }
        Ok(())
    }

    /// The lowest tile is complete, and this is the root over it.
    fn complete_tiles(&mut self, mut root: Hash) {
        let mut level = 0;
        while self.open[level].len() as u64 == WIDTH {
            let complete = std::mem::take(&mut self.open[level]);
            if level > 0 {
                let mut subtree = Recount::default();
                for hash in &complete {
                    subtree.push(*hash);
                }
                root = subtree.root();
            }
            let number = (self.tree.size() >> (8 * (level + 1))).saturating_sub(1);
            self.due.push_back((hashes(level, number, WIDTH), complete));
            level += 1;
            if self.open.len() == level {
                self.open.push(Vec::new());
            }
            self.open[level].push(root);
        }
    }

    fn partial_tiles(&mut self) {
        let size = self.tree.size();
        for (level, open) in self.open.iter_mut().enumerate().filter(|(_, open)| !open.is_empty()) {
            let piece = hashes(level, (size >> (8 * level)) / WIDTH, open.len() as u64);
            self.due.push_back((piece, std::mem::take(open)));
        }
    }

    /// After the last file.
    ///
    /// # Errors
    /// `log-altered` where the tree is not the one that was signed, or did not grow out of one that was
    /// seen before; `log-incomplete` where files were not taken.
    pub fn finish(mut self) -> Result<Recount> {
        if let Some(piece) = self.wanted() {
            return Err(no_piece(&piece.path()));
        }
        self.tree.compare(&self.checkpoint)?;
        self.seen.pass(&self.tree)?;
        self.seen.end(&self.tree)?;
        Ok(self.tree)
    }
}

/// Holds a tile against what its entries come to.
fn refuse_tile(piece: Piece, expected: &[Hash], bytes: &[u8]) -> Result<()> {
    let (path, (level, number, _)) = (piece.path(), piece.parts());
    let (found, rest) = bytes.as_chunks::<32>();
    let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = at {
        let index = number * WIDTH + at as u64;
        let what = if level == 0 { format!("entry {index}") } else { format!("subtree {index}") };
        let (said, is) = (hex::encode(&found[at]), hex::encode(&expected[at]));
        let detail = format!("{path} says that the hash of {what} is {said}, and what is there has {is}");
        return Err(altered(detail).with("index", index).with("expected", said).with("found", is));
    }
    let more = u64::from(!rest.is_empty());
    refuse_width(&piece, found.len() as u64 + if found.len() < expected.len() { 0 } else { more })
}

fn hashes(level: usize, number: u64, width: u64) -> Piece {
    Piece::Hashes { level: u8::try_from(level).unwrap_or(u8::MAX), number, width }
}

/// A file with fewer or more in it than it has to have.
fn refuse_width(piece: &Piece, found: u64) -> Result<()> {
    let (path, expected) = (piece.path(), piece.width());
    let detail = format!("{path} has {found} where {expected} are expected");
    let problem = match found.cmp(&expected) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => incomplete(detail),
        std::cmp::Ordering::Greater => altered(detail),
    };
    Err(problem.with("path", path).with("expected", expected).with("found", found))
}

fn split_view(one: &Checkpoint, other: &Checkpoint) -> Problem {
    let (found, expected) = (hex::encode(&one.root), hex::encode(&other.root));
    altered(format!(
        "two logs of {} entries were signed: one has the root {found}, and the one that was seen before {expected}",
        one.size
    ))
    .with("index", one.size)
    .with("expected", expected)
    .with("found", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_one_path() {
        let pieces = [
            Piece::Entries { number: 0, width: 256 },
            Piece::Entries { number: 1_234_067, width: 3 },
            Piece::Hashes { level: 0, number: 7, width: 1 },
            Piece::Hashes { level: 63, number: 999, width: 255 },
        ];
        for piece in pieces {
            assert_eq!(Piece::from_path(&piece.path()), Some(piece));
        }
        for bad in
            ["", "tile/0", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/entries/0", "tile/+1/000"]
        {
            assert_eq!(Piece::from_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_lies_beyond_a_log_is_none_of_its_pieces() {
        assert!(Piece::Entries { number: 1, width: 44 }.is_within(300));
        assert!(!Piece::Entries { number: 1, width: 45 }.is_within(300));
        assert!(!Piece::Entries { number: u64::MAX, width: 256 }.is_within(300));
        assert!(Piece::Hashes { level: 1, number: 0, width: 1 }.is_within(300));
        assert!(!Piece::Hashes { level: 1, number: 0, width: 2 }.is_within(300));
        assert!(!Piece::Hashes { level: 9, number: 0, width: 1 }.is_within(300));
    }
}
