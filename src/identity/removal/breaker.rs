//! The circuit breaker: how many people a connection may remove before somebody is asked.
//!
//! Counted inside the unit of work, so that requests side by side cannot slip under it. While something of
//! a connection waits for a decision, everything else that it removes waits, too, however slowly it comes;
//! only what was announced passes.

use std::time::Duration;

use super::Source;
use crate::{
    audit::Work,
    base::{
        Result, Timestamp,
        ids::{ExpectationId, RemovalBatchId},
    },
    identity::caller::stored_id,
    store::{Query, sql},
};

/// What a connection may remove in a while without anybody being asked: so many people, or that share of
/// those it has, whichever is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovalLimit {
    /// So many people.
    pub number: i64,
    /// So many of a hundred.
    pub percent: i64,
    /// In this time.
    pub window: Duration,
}

impl Default for RemovalLimit {
    fn default() -> Self {
        Self { number: 10, percent: 5, window: Duration::from_hours(1) }
    }
}

impl RemovalLimit {
    /// How many of `people` that is.
    #[must_use]
    pub fn of(&self, people: i64) -> i64 {
        self.number.max(people.saturating_mul(self.percent) / 100)
    }
}

/// Whether a removal goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It does: within the limit, or announced.
    Free { expected: Option<ExpectationId> },
    /// It waits, together with what is held already.
    Held { batch: RemovalBatchId, is_new: bool },
}

/// Whether a person `p` is among those of whom a share is taken: she was here when the window began at `$2`,
/// or has signed in. Those whom the connection made only now prove nothing of how many it has.
pub(in crate::identity) const COUNTS: &str =
    "(p.created_at <= $2 OR EXISTS (SELECT 1 FROM sessions s WHERE s.person = p.id))";

/// What a connection removed since the window began.
#[derive(sqlx::FromRow)]
struct Lately {
    /// Without anybody being asked.
    by_itself: i64,
    /// In all, of those of whom a share is taken.
    of_those: i64,
}

/// Whether one more removal by `source` goes through now.
pub(super) async fn passage(work: &mut Work<'_>, source: &Source) -> Result<Passage> {
    let open = open_batch(work, source).await?;
    let lately = lately(work, source, work.now().before(source.limit.window)).await?;
    if open.is_none() && lately.by_itself < source.limit.of(source.people + lately.of_those) {
        return Ok(Passage::Free { expected: None });
    }
    if let Some(expected) = expected(work, source).await? {
        return Ok(Passage::Free { expected: Some(expected) });
    }
    Ok(match open {
        Some(batch) => Passage::Held { batch, is_new: false },
        None => Passage::Held { batch: work.ambient().id(), is_new: true },
    })
}

async fn open_batch(work: &mut Work<'_>, source: &Source) -> Result<Option<RemovalBatchId>> {
    let found: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT batch FROM removals WHERE connection = $1 AND state = 'held' ORDER BY at LIMIT 1")
                .bind(&source.connection),
        )
        .await?;
    found.map(|(id,)| stored_id(&id)).transpose()
}

async fn lately(work: &mut Work<'_>, source: &Source, since: Timestamp) -> Result<Lately> {
    let text = format!(
        "SELECT CAST(COALESCE(sum(CASE WHEN r.state = 'done' AND r.expected IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) \
         AS by_itself, CAST(COALESCE(sum(CASE WHEN {COUNTS} THEN 1 ELSE 0 END), 0) AS BIGINT) AS of_those \
         FROM removals r JOIN people p ON p.id = r.person \
         WHERE r.connection = $1 AND r.at > $2 AND r.state IN ('done', 'held', 'released')"
    );
    let args = vec![(&source.connection).into(), since.into()];
    let found: Option<Lately> = work.fetch_optional(Query::composed(text, args)).await?;
    Ok(found.unwrap_or(Lately { by_itself: 0, of_those: 0 }))
}

/// An announcement that is not used up: one for this connection before one for any, the earliest to end first.
async fn expected(work: &mut Work<'_>, source: &Source) -> Result<Option<ExpectationId>> {
    let found: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM expected_removals WHERE used < number AND until > $1 AND withdrawn_at IS NULL \
                 AND (connection IS NULL OR connection = $2) \
                 ORDER BY CASE WHEN connection IS NULL THEN 1 ELSE 0 END, until, id LIMIT 1")
            .bind(work.now())
            .bind(&source.connection),
        )
        .await?;
    found.map(|(id,)| stored_id(&id)).transpose()
}

/// Uses one of an announced number up.
pub(super) async fn use_up(work: &mut Work<'_>, expected: ExpectationId) -> Result<()> {
    work.execute(sql("UPDATE expected_removals SET used = used + 1 WHERE id = $1").bind(expected)).await?;
    Ok(())
}
