//! What was written, and what a crash leaves of it.

use std::{
    collections::BTreeMap,
    ffi::c_int,
    fs, io,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Bytes were handed to the disk; until the next [`Op::Sync`] of the file they may be lost.
    Write {
        /// Which file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// The file was cut, or made longer.
    Truncate {
        /// Which.
        path: PathBuf,
        /// Its length, in bytes.
        length: u64,
    },
    /// All that was written to the file before is on the disk.
    Sync {
        /// Which.
        path: PathBuf,
    },
    /// The file was removed.
    Delete {
        /// Which.
        path: PathBuf,
    },
    /// Somebody outside was told something.
    Told(String),
}

/// What a disk can fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Writing, with EIO: nothing is written.
    Write,
    /// Syncing, with EIO: what was written before may be lost or not.
    Sync,
    /// Syncing does not come back until the disk is well again, and then it was done.
    Hang,
}

struct Recorder {
    folder: PathBuf,
    ops: Vec<Op>,
    fault: Option<Fault>,
}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);
/// Told when nothing is recorded any more.
static FREE: Condvar = Condvar::new();
/// Told when something else goes wrong, or nothing any more.
static CHANGED: Condvar = Condvar::new();

fn recorder() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn begin(folder: &Path) {
    let busy = |recorder: &mut Option<Recorder>| recorder.is_some();
    let mut free = FREE.wait_while(recorder(), busy).unwrap_or_else(PoisonError::into_inner);
    *free = Some(Recorder { folder: folder.to_owned(), ops: Vec::new(), fault: None });
}

pub(crate) fn end() {
    recorder().take();
    FREE.notify_one();
    CHANGED.notify_all();
}

pub(crate) fn fail(fault: Option<Fault>) {
    if let Some(recorder) = recorder().as_mut() {
        recorder.fault = fault;
    }
    CHANGED.notify_all();
}

/// Waits as long as the disk hangs.
pub(crate) fn hang() {
    let hangs = |it: &mut Option<Recorder>| it.as_ref().is_some_and(|it| it.fault == Some(Fault::Hang));
    drop(CHANGED.wait_while(recorder(), hangs).unwrap_or_else(PoisonError::into_inner));
}

/// Whether an open file of the recorded folder fails at this now.
pub(crate) fn fails_at(fault: Fault) -> bool {
    recorder().as_ref().is_some_and(|it| it.fault == Some(fault))
}

/// Whether a file is recorded. What SQLite shares between processes is no file to it: a crash empties it.
pub(crate) fn is_recorded(path: &Path) -> bool {
    let shared = path.to_string_lossy().ends_with("-shm");
    !shared && recorder().as_ref().is_some_and(|it| path.starts_with(&it.folder))
}

pub(crate) fn record(op: Op) {
    if let Some(recorder) = recorder().as_mut() {
        recorder.ops.push(op);
    }
}

/// Does it and notes it, so that no other op comes in between; notes nothing where it fails.
pub(crate) fn while_done(op: Option<Op>, act: impl FnOnce() -> c_int) -> c_int {
    let mut recorder = recorder();
    let outcome = act();
    if let (0, Some(op), Some(recorder)) = (outcome, op, recorder.as_mut()) {
        recorder.ops.push(op);
    }
    outcome
}

pub(crate) fn so_far(folder: &Path) -> Trace {
    let ops = recorder().as_ref().map(|it| it.ops.clone()).unwrap_or_default();
    Trace { folder: folder.to_owned(), ops }
}

/// What was done in a folder, in order.
#[derive(Clone, Debug)]
pub struct Trace {
    folder: PathBuf,
    /// The ops.
    pub ops: Vec<Op>,
}

/// A file: what is on the disk for certain, and what may be.
#[derive(Clone, Default)]
struct File {
    certain: Vec<u8>,
    /// Whether it is on the disk at all.
    is_certain: bool,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.certain, &change);
        }
        self.is_certain = true;
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let size = |n: u64| usize::try_from(n).expect("a small file");
    match change {
        Change::Write(offset, data) => {
            let (start, end) = (size(*offset), size(*offset) + data.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(data);
        }
        Change::Truncate(length) => bytes.resize(size(*length), 0),
    }
}

/// The disk while a trace is played, and power that may fail at any op.
pub struct Disk<'t> {
    trace: &'t Trace,
    files: BTreeMap<&'t Path, File>,
    done: usize,
}

impl Trace {
    /// The empty disk before the first op.
    #[must_use]
    pub fn play(&self) -> Disk<'_> {
        Disk { trace: self, files: BTreeMap::new(), done: 0 }
    }
}

impl Disk<'_> {
    /// Plays on until `count` ops are done.
    ///
    /// # Panics
    /// Where that many were done before.
    pub fn play_to(&mut self, count: usize) {
        assert!(count >= self.done, "a disk does not go back");
        for op in &self.trace.ops[self.done..count] {
            match op {
                Op::Write { path, offset, data } => {
                    self.files.entry(path).or_default().pending.push(Change::Write(*offset, data.clone()));
                }
                Op::Truncate { path, length } => {
                    self.files.entry(path).or_default().pending.push(Change::Truncate(*length));
                }
                Op::Sync { path } => self.files.entry(path).or_default().sync(),
                Op::Delete { path } => drop(self.files.remove(path.as_path())),
                Op::Told(_) => {}
            }
        }
        self.done = count;
    }

    /// What the disk may hold where power fails now, put into `folder`. `chance` answers with numbers below
    /// its argument; it decides what of the unsynced is kept, sector by sector, whatever its order.
    ///
    /// # Errors
    /// Where `folder` cannot be written.
    pub fn fail_into(&self, folder: &Path, mut chance: impl FnMut(u64) -> u64) -> io::Result<()> {
        for (path, file) in &self.files {
            if !file.is_certain && chance(2) == 0 {
                continue;
            }
            let mut bytes = file.certain.clone();
            // From losing nearly everything to losing nearly nothing.
            let kept_of_eight = chance(9);
            for change in &file.pending {
                for piece in pieces(change) {
                    if chance(8) < kept_of_eight {
                        apply(&mut bytes, &piece);
                    }
                }
            }
            // What SQLite puts elsewhere is gone with its process: it sorts there.
            let Ok(name) = path.strip_prefix(&self.trace.folder) else { continue };
            fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    }
}

/// A change as the disk does it: sector by sector.
fn pieces(change: &Change) -> Vec<Change> {
    let Change::Write(offset, data) = change else { return vec![change.clone()] };
    let (mut pieces, mut at, mut rest) = (Vec::new(), *offset, data.as_slice());
    while !rest.is_empty() {
        let room = usize::try_from(SECTOR - at % SECTOR).expect("a sector is small").min(rest.len());
        let (piece, further) = rest.split_at(room);
        pieces.push(Change::Write(at, piece.to_vec()));
        (at, rest) = (at + room as u64, further);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64, data: &[u8]) -> Op {
        Op::Write { path: "/d/f".into(), offset, data: data.to_vec() }
    }

    fn found(ops: Vec<Op>, chance: impl FnMut(u64) -> u64) -> Option<Vec<u8>> {
        let trace = Trace { folder: "/d".into(), ops };
        let into = std::env::temp_dir().join(format!(
            "port-control-disk-{}-{}",
            std::process::id(),
            trace.ops.len()
        ));
        fs::create_dir_all(&into).unwrap();
        let mut disk = trace.play();
        disk.play_to(trace.ops.len());
        disk.fail_into(&into, chance).unwrap();
        let bytes = fs::read(into.join("f")).ok();
        fs::remove_dir_all(into).unwrap();
        bytes
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_may_go_or_stay_or_tear() {
        let synced = vec![write(0, b"one"), Op::Sync { path: "/d/f".into() }];
        assert_eq!(found(synced.clone(), |_| 0).unwrap(), b"one");
        assert_eq!(found(vec![write(0, b"one")], |_| 0), None);
        let mut more = synced;
        more.push(write(0, &[7; 1024]));
        assert_eq!(found(more.clone(), |_| 0).unwrap(), b"one");
        assert_eq!(found(more.clone(), |n| if n == 9 { 8 } else { 1 }).unwrap(), [7; 1024]);
        // The first sector is lost, the second is kept.
        let mut calls = 0;
        let torn = found(more, |n| {
            calls += 1;
            match (n, calls) {
                (9, _) => 4,
                (_, 2) => 7,
                _ => 0,
            }
        });
        let torn = torn.unwrap();
        assert_eq!((&torn[..3], torn[600]), (&b"one"[..], 7));
    }
}
