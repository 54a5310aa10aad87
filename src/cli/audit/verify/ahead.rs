//! Files of entries are read and hashed ahead, on every core, and taken in their order: no more than a few
//! of them are held at any time.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use super::published::Folder;
use crate::{
    audit::{
        tile::WIDTH,
        verify::published::{Digested, Piece, PublishedCheck},
    },
    base::{Problem, Result},
};

/// How many files each core is ahead.
const AHEAD: usize = 4;

/// A complete file of entries, and the tile with their hashes as it lies there.
struct Read {
    entries: Result<(Vec<u8>, Digested)>,
    hashes: Result<Vec<u8>>,
}

impl Read {
    fn of(folder: &Folder, number: u64) -> Self {
        let piece = Piece::Entries { number, width: WIDTH };
        let entries = folder.read(&piece.path()).and_then(|bytes| {
            let digested = piece.digest(&bytes)?;
            Ok((bytes, digested))
        });
        let hashes = folder.read(&Piece::Hashes { level: 0, number, width: WIDTH }.path());
        Self { entries, hashes }
    }
}

/// Takes in every complete file of entries, with the tiles above them; what is left at the end is for whoever
/// goes on.
pub(super) fn verify(folder: &Folder, check: &mut PublishedCheck, told: impl Fn(u64)) -> Result<()> {
    let files = check.left() / WIDTH;
    let cores = thread::available_parallelism().map_or(1, |it| it.get() as u64).min(files.max(1));
    thread::scope(|scope| {
        let readers: Vec<Receiver<Read>> = (0..cores)
            .map(|nth| {
                let (done, taken) = sync_channel(AHEAD);
                scope.spawn(move || {
                    let numbers = (0..files).filter(|number| number % cores == nth);
                    // Nobody takes any more where something was found.
                    for number in numbers {
                        if done.send(Read::of(folder, number)).is_err() {
                            return;
                        }
                    }
                });
                taken
            })
            .collect();
        for (number, reader) in (0..files).zip(readers.iter().cycle()) {
            let read = reader.recv().map_err(|_| Problem::internal("reading the log was broken off"))?;
            take(folder, check, number, read)?;
            told(check.size());
        }
        Ok(())
    })
}

fn take(folder: &Folder, check: &mut PublishedCheck, number: u64, read: Read) -> Result<()> {
    let (bytes, digested) = read.entries?;
    check.take_digested(digested)?;
    folder.compare_older(&Piece::Entries { number, width: WIDTH }, &bytes)?;
    let mut lowest = Some(read.hashes);
    while let Some(piece @ Piece::Hashes { width: WIDTH, .. }) = check.wanted() {
        let bytes = match lowest.take() {
            Some(bytes) => bytes?,
            None => folder.read(&piece.path())?,
        };
        check.take(&bytes)?;
        folder.compare_older(&piece, &bytes)?;
    }
    Ok(())
}
