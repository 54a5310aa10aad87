//! The pin: the newest checkpoint that was signed, kept outside the database. Whoever sets a database
//! back sets its checkpoints back, too; the pin remembers.

mod behind;
mod file;
mod object;

use std::sync::Arc;

use async_trait::async_trait;

pub(super) use behind::Behind;
pub use file::PinFile;
pub use object::PinObject;

use super::{Checkpoint, VerifierKey};
use crate::base::{Problem, ProblemKind, Result};

/// How often a pin is tried that others write to, too.
const TRIES: usize = 5;

/// A note as a place keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The signed note.
    pub note: String,
    /// What tells it from whatever is kept there later.
    pub version: String,
}

/// Somewhere outside the database that keeps one note. Its errors say why in words.
#[async_trait]
pub trait PinPlace: Send + Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// Whether it answers at once, as a disk does: then nothing is signed before what was signed last
    /// is pinned.
    fn is_near(&self) -> bool {
        false
    }

    /// What is kept there; nothing where nothing is yet.
    async fn read(&self) -> Result<Option<Kept>, String>;

    /// Keeps `note` in the place of what was read; whether that was still there. A crash leaves the one or
    /// the other, whole.
    async fn replace(&self, read: Option<&Kept>, note: &str) -> Result<bool, String>;

    /// Puts what is kept aside, never over what was put there before; what it is called now.
    async fn set_aside(&self) -> Result<Option<String>, String>;

    /// Whether something could be kept there.
    async fn check(&self) -> Result<(), String>;
}

/// A pin. Cheap to clone.
#[derive(Clone)]
pub struct Pin(Arc<dyn PinPlace>);

impl Pin {
    /// The pin at a place; nothing is read yet.
    #[must_use]
    pub fn new(place: impl PinPlace + 'static) -> Self {
        Self(Arc::new(place))
    }

    /// What its place is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name()
    }

    pub(super) fn is_near(&self) -> bool {
        self.0.is_near()
    }

    /// What is pinned; nothing where there is none yet.
    ///
    /// # Errors
    /// `invalid-configuration` where it cannot be read or is not what one of `keys` signed.
    pub async fn read(&self, keys: &[VerifierKey]) -> Result<Option<Checkpoint>> {
        Ok(self.kept(keys).await?.map(|(_, checkpoint)| checkpoint))
    }

    /// Pins `checkpoint`, whose note is `note`, unless something as new is pinned; what is pinned then.
    ///
    /// # Errors
    /// As [`Self::read`], and where it cannot be written.
    pub async fn write(
        &self,
        checkpoint: &Checkpoint,
        note: &str,
        keys: &[VerifierKey],
    ) -> Result<Checkpoint> {
        for _ in 0..TRIES {
            let kept = self.kept(keys).await?;
            if let Some((_, there)) = &kept
                && there.size >= checkpoint.size
            {
                return Ok(there.clone());
            }
            let read = kept.as_ref().map(|(kept, _)| kept);
            if self.0.replace(read, note).await.map_err(|why| self.unusable(&why))? {
                return Ok(checkpoint.clone());
            }
        }
        Err(self.unusable("others write to it all the time"))
    }

    /// Puts what is pinned aside; what it is called now.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub async fn set_aside(&self) -> Result<Option<String>> {
        self.0.set_aside().await.map_err(|why| self.unusable(&why))
    }

    /// Whether it can be kept up.
    ///
    /// # Errors
    /// `invalid-configuration`, with what is in the way.
    pub async fn check(&self) -> Result<()> {
        self.0.check().await.map_err(|why| self.unusable(&why))
    }

    async fn kept(&self, keys: &[VerifierKey]) -> Result<Option<(Kept, Checkpoint)>> {
        let Some(kept) = self.0.read().await.map_err(|why| self.unusable(&why))? else { return Ok(None) };
        match Checkpoint::open_any(&kept.note, keys) {
            Ok(checkpoint) => Ok(Some((kept, checkpoint))),
            Err(problem) => Err(self.unusable(&problem.detail)),
        }
    }

    fn unusable(&self, why: &str) -> Problem {
        Problem::new(
            ProblemKind::InvalidConfiguration,
            format!("the log's pin {} cannot be used: {why}", self.name()),
        )
        .remedy(
            "Let the server read and write it, or name another place: `[log] pin`. Where this is the pin of another \
             log, because the database was made anew on purpose, take it away.",
        )
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({})", self.name())
    }
}

#[cfg(test)]
mod tests;
