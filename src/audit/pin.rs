//! The pin: the newest checkpoint that was signed, kept outside the database. Whoever sets a database
//! back sets its checkpoints back, too; the pin remembers.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use super::{Checkpoint, VerifierKey};
use crate::base::{Problem, ProblemKind, Result};

/// A pin in a file, as the signed note.
#[derive(Clone, Debug)]
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// The pin at `path`; nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is pinned; nothing where there is no file yet.
    ///
    /// # Errors
    /// `invalid-configuration` where the file cannot be read or does not hold what one of `keys` signed.
    pub fn read(&self, keys: &[VerifierKey]) -> Result<Option<Checkpoint>> {
        match fs::read_to_string(&self.path) {
            Ok(note) => {
                Checkpoint::open_any(&note, keys).map(Some).map_err(|problem| self.unusable(&problem.detail))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(&error.to_string())),
        }
    }

    /// Pins `checkpoint`, whose note is `note`, unless something newer is pinned. A crash leaves the old
    /// pin or the new one, whole.
    ///
    /// # Errors
    /// As [`Self::read`], and where the file cannot be written.
    pub fn write(&self, checkpoint: &Checkpoint, note: &str, keys: &[VerifierKey]) -> Result<()> {
        if self.read(keys)?.is_some_and(|there| there.size >= checkpoint.size) {
            return Ok(());
        }
        self.replace(note).map_err(|error| self.unusable(&error.to_string()))
    }

    /// Puts what is pinned aside, next to it, and never over what was put there before; where it is now.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_aside(&self) -> Result<Option<PathBuf>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let free =
            (1..=u16::MAX).map(|n| self.path.with_extension(format!("before-{n}"))).find(|it| !it.exists());
        let aside = free.unwrap_or_else(|| self.path.with_extension("before"));
        fs::rename(&self.path, &aside).map_err(|error| self.unusable(&error.to_string()))?;
        Ok(Some(aside))
    }

    fn replace(&self, note: &str) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // A name of this process alone: replicas may share the folder.
        let beside = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn unusable(&self, why: &str) -> Problem {
        Problem::new(
            ProblemKind::InvalidConfiguration,
            format!("the log's pin {} cannot be used: {why}", self.path.display()),
        )
        .remedy("Let the server's user read and write it and its folder, or name another: `[log] pin`.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::LogSigner;

    #[test]
    fn a_pin_never_goes_back_and_is_believed_only_if_signed() {
        let signer = LogSigner::from_seed(&[1; 32]);
        let key = [VerifierKey::new("example.com/log", signer.public_key()).unwrap()];
        let folder = tempfile::tempdir().unwrap();
        let pin = PinFile::new(folder.path().join("kept-pin"));
        assert_eq!(pin.read(&key).unwrap(), None);
        let at = |size| Checkpoint { origin: "example.com/log".to_owned(), size, root: [7; 32] };
        for (size, pinned) in [(3, 3), (2, 3), (9, 9)] {
            pin.write(&at(size), &at(size).sign(&signer), &key).unwrap();
            assert_eq!(pin.read(&key).unwrap(), Some(at(pinned)));
        }
        fs::write(pin.path(), at(9).sign(&LogSigner::from_seed(&[2; 32]))).unwrap();
        assert!(pin.read(&key).unwrap_err().is(ProblemKind::InvalidConfiguration));
    }
}
