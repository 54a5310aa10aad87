//! Verifying: recomputes the log leaf by leaf, and says what exactly is wrong. It shares no code with
//! appending but the hash.

pub mod archive;
mod database;
mod export;
mod leaf;
pub mod published;
pub mod range;
mod recount;

pub use database::check_database;
pub use export::{ExportCheck, ExportEnd, ExportHeader, ExportLine};
pub use recount::Recount;

use serde::{Deserialize, Serialize};

use super::{Hash, checkpoint::Checkpoint, forgotten::Claims, opened::Opened, tile::altered};
use crate::base::{Problem, ProblemKind, Result};

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them, in hexadecimal.
    pub root: String,
    /// Signed checkpoints that fit it.
    pub checkpoints: u64,
    /// Openings that are there and fit.
    pub present: u64,
    /// Openings that were forgotten, as an entry says.
    pub forgotten: u64,
    /// Openings that are not there, and nothing says why.
    pub missing: u64,
    /// Entries that lie in an archive: of these, the hashes alone were verified.
    #[serde(default)]
    pub archived: u64,
}

fn incomplete(detail: String) -> Problem {
    Problem::new(ProblemKind::LogIncomplete, detail)
}

fn cut_off(signed: u64, found: u64) -> Problem {
    incomplete(format!("{signed} entries were signed, and {found} are there"))
        .with("expected", signed)
        .with("found", found)
}

fn no_entry(index: u64) -> Problem {
    incomplete(format!("entry {index} of the log is not there")).with("index", index)
}

/// Counts what lies beside entries.
#[derive(Default)]
struct Counted {
    present: u64,
    forgotten: u64,
    missing: u64,
    /// The first entry that lacks an opening.
    first_missing: Option<u64>,
    /// What entries have to say that was forgotten.
    claims: Claims,
}

impl Counted {
    /// `columns` hold a pseudonym where the field of that name was forgotten.
    fn take(&mut self, index: u64, opened: &Opened, columns: &[(&str, Option<&str>)]) -> Result<()> {
        self.present += opened.fields.len() as u64;
        self.forgotten += opened.forgotten.len() as u64;
        self.missing += opened.missing.len() as u64;
        if !opened.missing.is_empty() {
            self.first_missing.get_or_insert(index);
        }
        self.claims.hear(index, opened)?;
        self.claims.claim(index, opened, columns);
        Ok(())
    }

    fn refuse_missing(&self) -> Result<()> {
        let Some(index) = self.first_missing else { return Ok(()) };
        Err(incomplete(format!(
            "{} openings are not there and no entry says that they were forgotten; the first at entry {index}",
            self.missing
        ))
        .with("index", index)
        .with("missing", self.missing))
    }
}

/// The consistency of two checkpoints of one log, by hashes that somebody else computed.
///
/// # Errors
/// `log-altered` where the newer did not grow out of the older one; `log-incomplete` where it is smaller.
pub fn check_growth(old: &Checkpoint, new: &Checkpoint, proof: &[Hash]) -> Result<()> {
    if new.size < old.size {
        return Err(cut_off(old.size, new.size));
    }
    if old.origin == new.origin
        && super::proof::verify_consistency(old.size, &old.root, new.size, &new.root, proof)
    {
        return Ok(());
    }
    Err(altered(format!(
        "the log of {} entries did not grow out of the one of {} that was seen before",
        new.size, old.size
    )))
}
