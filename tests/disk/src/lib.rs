//! A disk under SQLite that loses power: what SQLite writes in one folder is recorded, and from the
//! record the disk can be made as it may be found after a crash at any moment.
//!
//! Unsafe code lives in [`shim`] alone, and nothing of this is part of a shipped program.

mod shim;
mod trace;

pub use trace::{Disk, Fault, Op, Trace};

use std::path::{Path, PathBuf};

/// A folder whose files are recorded. One at a time in a process; ends with this value.
pub struct Recording {
    folder: PathBuf,
}

impl Recording {
    /// Begins before anything in the folder is opened, and once no other folder is recorded any more. The folder's
    /// name must have no symbolic link in it.
    ///
    /// # Panics
    /// Where SQLite takes no further file system.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        shim::install();
        trace::begin(folder);
        Self { folder: folder.to_owned() }
    }

    /// Notes that something was told to somebody outside: from here on it must not be lost.
    pub fn told(&self, what: &str) {
        trace::record(Op::Told(what.to_owned()));
    }

    /// From here on this goes wrong with every file of the folder; nothing more with `None`.
    pub fn fails(&self, fault: Option<Fault>) {
        trace::fail(fault);
    }

    /// What was recorded so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        trace::so_far(&self.folder)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        trace::end();
    }
}
