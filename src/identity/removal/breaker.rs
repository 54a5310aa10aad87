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
    store::sql,
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

/// What a connection removed since the window began.
#[derive(sqlx::FromRow)]
struct Lately {
    by_itself: i64,
    in_all: i64,
}

/// Whether one more removal by `source` goes through now.
pub(super) async fn passage(work: &mut Work<'_>, source: &Source) -> Result<Passage> {
    let open = open_batch(work, source).await?;
    let lately = lately(work, source, work.now().before(source.limit.window)).await?;
    if open.is_none() && lately.by_itself < source.limit.of(source.people + lately.in_all) {
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
    let found: Option<Lately> = work
        .fetch_optional(
            sql(
                "SELECT CAST(COALESCE(sum(CASE WHEN state = 'done' AND expected IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) \
                 AS by_itself, CAST(count(*) AS BIGINT) AS in_all FROM removals \
                 WHERE connection = $1 AND at > $2 AND state IN ('done', 'held', 'released')",
            )
            .bind(&source.connection)
            .bind(since),
        )
        .await?;
    Ok(found.unwrap_or(Lately { by_itself: 0, in_all: 0 }))
}

/// An announcement that is not used up, the earliest to end first.
async fn expected(work: &mut Work<'_>, source: &Source) -> Result<Option<ExpectationId>> {
    let found: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM expected_removals WHERE used < number AND until > $1 \
                 AND (connection IS NULL OR connection = $2) ORDER BY until, id LIMIT 1")
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
