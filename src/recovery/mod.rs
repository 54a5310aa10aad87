//! Going on after the database was set back: to a copy, or to a standby that lagged behind.
//!
//! What was lost may have been somebody's end. So nothing that was granted before holds any more: every
//! session and grant ends, every request is withdrawn, and everybody is suspended until her identity
//! provider has spoken for her again. What was published of the lost entries tells who had been
//! deactivated; that is done again.

mod published;
mod unit;

pub use published::{Fate, Published};
pub use unit::{Discontinuity, Recovered};

use std::collections::BTreeMap;

use self::unit::Recover;
use crate::{
    audit::{
        Log, leaf_hash,
        tile::{WIDTH, hashes},
    },
    base::{Problem, Result, ids::PersonId},
    policy::Permit,
    store::{Database, sql},
};

/// What would end.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// People who would be suspended until their identity provider has spoken.
    pub people: i64,
    /// Sessions of all kinds.
    pub sessions: i64,
    /// Live grants.
    pub grants: i64,
    /// Pending requests.
    pub requests: i64,
}

/// Recovers. On the server's own machine only, with no server running.
pub struct Recovery {
    database: Database,
    log: Log,
}

impl Recovery {
    /// Of this database and its log.
    #[must_use]
    pub fn new(database: Database, log: Log) -> Self {
        Self { database, log }
    }

    /// What would end.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn standing(&self) -> Result<Standing> {
        let text = "SELECT \
            (SELECT CAST(count(*) AS BIGINT) FROM people WHERE status = 'active') AS people, \
            (SELECT CAST(count(*) AS BIGINT) FROM sessions WHERE ended_at IS NULL) AS sessions, \
            (SELECT CAST(count(*) AS BIGINT) FROM grants WHERE ended_at IS NULL) AS grants, \
            (SELECT CAST(count(*) AS BIGINT) FROM requests WHERE state = 'pending') AS requests";
        Ok(self.database.fetch_optional(sql(text)).await?.unwrap_or_default())
    }

    /// What became of people by published entries that this log has not: they are told from those that it
    /// has by the entry at their index.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn lost(&self, published: &Published) -> Result<BTreeMap<PersonId, Fate>> {
        let mut lost = BTreeMap::new();
        for said in published.said() {
            // Of an entry that was archived the hash alone is here.
            let (tile, within) = (said.index / WIDTH, said.index % WIDTH);
            let here = hashes(&self.database, 0, tile, within + 1).await?;
            if here.and_then(|hashes| hashes.last().copied()) != Some(leaf_hash(&said.leaf)) {
                said.add_to(&mut lost);
            }
        }
        Ok(lost)
    }

    /// Ends everything that was granted before, suspends everybody until her identity provider has spoken,
    /// does again what became of people by lost entries, and records that the log was interrupted.
    ///
    /// # Errors
    /// `invalid-request` without a reason; what recording answers.
    pub async fn recover(
        &self,
        permit: Permit,
        reason: &str,
        discontinuity: Option<Discontinuity>,
        lost: BTreeMap<PersonId, Fate>,
    ) -> Result<Recovered> {
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        self.log.perform(Recover { permit, reason: reason.to_owned(), discontinuity, lost }).await
    }
}
