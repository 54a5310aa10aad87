//! Questions that are answered from many entries at once: asked, recorded, and then read from the first
//! entry on.

use serde_json::Value;

use super::{
    archive::Which,
    read::{Entry, NoteReading, Reader},
};
use crate::{
    base::{Result, Timestamp},
    policy::{Action, Permit},
};

/// Entries that are read at once.
const AT_ONCE: u64 = 500;

impl Reader {
    /// Records that the log is asked `question`. How many entries it had before.
    ///
    /// # Errors
    /// What recording answers.
    pub async fn ask(&self, permit: Permit, question: Value) -> Result<u64> {
        permit.expect(Action::ReadLog)?;
        let size = self.log.head().size;
        self.log.perform(NoteReading { permit, action: "log.read", filter: question }).await?;
        Ok(size)
    }

    /// Hands over every entry of one of these actions, the oldest first: those before index `before`,
    /// and not after `until`. For who has asked.
    ///
    /// # Errors
    /// `log-altered`; what `take` answers; else a problem of the database.
    pub async fn each(
        &self,
        actions: &[&str],
        before: u64,
        until: Option<Timestamp>,
        mut take: impl FnMut(&Entry) -> Result<()> + Send,
    ) -> Result<()> {
        let (wanted, mut next) = (Which::Acts(actions, until), 0);
        while next < before {
            let (rows, end) = self.entries.next(&wanted, next, before, AT_ONCE).await?;
            for row in &rows {
                take(&Entry::new(row, &row.open()?)?)?;
            }
            next = end;
        }
        Ok(())
    }
}
