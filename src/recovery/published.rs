//! What is known of lost entries: exports, bundles and what was forwarded of them.

use std::{collections::BTreeMap, io::BufRead};

use crate::{
    audit::{VerifierKey, opened::Opened, verify::ExportCheck},
    base::{Problem, ProblemKind, Result, ids::PersonId},
};

/// Longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1024 * 1024;

/// What became of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// She was deactivated, by the entry of this index.
    Deactivated(u64),
    /// She was suspended, by the entry of this index.
    Suspended(u64),
}

/// An entry that says what became of somebody.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) index: u64,
    pub(super) leaf: Vec<u8>,
    person: PersonId,
    action: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Deactivated,
    Suspended,
    Resumed,
}

impl Said {
    /// What she is after it. A deactivation is never undone by what was published.
    pub(super) fn add_to(&self, fates: &mut BTreeMap<PersonId, Fate>) {
        if matches!(fates.get(&self.person), Some(Fate::Deactivated(_))) {
            return;
        }
        match self.action {
            Act::Deactivated => fates.insert(self.person, Fate::Deactivated(self.index)),
            Act::Suspended => fates.insert(self.person, Fate::Suspended(self.index)),
            Act::Resumed => fates.remove(&self.person),
        };
    }
}

/// Entries that were published, each verified to be in the tree of a checkpoint that the log's key signed.
#[derive(Clone, Debug, Default)]
pub struct Published {
    said: BTreeMap<u64, Said>,
    entries: u64,
}

impl Published {
    /// Number of entries that were read.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Those that say what became of somebody, in the order of the log.
    pub(super) fn said(&self) -> impl Iterator<Item = &Said> {
        self.said.values()
    }

    /// Takes in a file: one export or bundle after another, as they were written or forwarded (NDJSON).
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete` where what is there is not what was signed by one of `keys`;
    /// `invalid-request` where the file cannot be read.
    pub fn take(&mut self, mut file: impl BufRead, keys: &[VerifierKey]) -> Result<()> {
        while let Some(first) = line(&mut file)? {
            let mut check = begun(&first, keys)?;
            while let Some(text) = line(&mut file)? {
                match check.line(&text)? {
                    Some((index, leaf, opened)) => self.entry(index, leaf, &opened),
                    None => break,
                }
            }
            check.finish()?;
        }
        Ok(())
    }

    fn entry(&mut self, index: u64, leaf: Vec<u8>, opened: &Opened) {
        self.entries += 1;
        let action = match (opened.leaf.action.as_str(), opened.leaf.decision.as_str()) {
            ("person.deactivated", "allow") => Act::Deactivated,
            ("person.suspended", "allow") => Act::Suspended,
            ("person.resumed", "allow") => Act::Resumed,
            _ => return,
        };
        if let Some(person) = opened.field("subject").and_then(|text| text.parse().ok()) {
            self.said.insert(index, Said { index, leaf, person, action });
        }
    }
}

fn begun(first: &str, keys: &[VerifierKey]) -> Result<ExportCheck> {
    let mut outcome = Err(Problem::internal("the log has no key"));
    for key in keys {
        outcome = ExportCheck::new(first, key);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn line(file: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    std::io::Read::take(&mut *file, LONGEST_LINE)
        .read_until(b'\n', &mut line)
        .map_err(|error| Problem::invalid(format!("what was published cannot be read: {error}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        return Err(Problem::new(
            ProblemKind::LogIncomplete,
            "what was published ends in the middle of a line",
        ));
    }
    let no_text =
        |_| Problem::new(ProblemKind::LogAltered, "what was published holds something that is no text");
    String::from_utf8(line).map(Some).map_err(no_text)
}
