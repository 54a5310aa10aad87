//! How far each place has come.

use std::time::Duration;

use super::{batch::Batch, target::Target};
use crate::{
    audit::{archive::ranges, tile::as_i64},
    base::{Result, Timestamp},
    store::{Database, sql},
};

/// How far a place has come.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Cursor {
    pub(super) described: String,
    pub(super) next_entry: i64,
    pub(super) planned: Option<i64>,
    pub(super) attempts: i64,
    pub(super) next_at: i64,
    pub(super) last_error: Option<String>,
}

impl Cursor {
    /// Index of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.next_entry.unsigned_abs()
    }

    /// Where the batch ends that was begun to be sent.
    pub(super) fn planned(&self) -> Option<u64> {
        self.planned.map(i64::unsigned_abs).filter(|end| *end > self.next())
    }
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) entries: u64,
    /// How long the first of them has been waiting.
    pub(super) age: Duration,
}

/// The cursor of a place; nothing where it was never used.
pub(super) async fn cursor(database: &Database, target: &Target) -> Result<Option<Cursor>> {
    let query = sql("SELECT described, next_entry, planned, attempts, next_at, last_error \
                     FROM log_forwards WHERE target = $1")
    .bind(&target.id);
    Ok(database.fetch_optional(query).await?)
}

/// How much of a log of `size` signed entries waits.
pub(super) async fn lag(database: &Database, next: u64, size: u64, now: Timestamp) -> Result<Lag> {
    if next >= size {
        return Ok(Lag::default());
    }
    let query = sql("SELECT time FROM entries WHERE idx = $1").bind(as_i64(next));
    let oldest: Option<(i64,)> = database.fetch_optional(query).await?;
    let oldest = match oldest {
        Some((time,)) => Some(Timestamp::from_millis(time)),
        // It was archived before it could be sent.
        None => ranges::next(database, next).await?.map(|range| range.oldest),
    };
    let age = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
    Ok(Lag { entries: size - next, age })
}

/// Notes which batch is about to be sent, so that it is the same one if it has to be sent again.
pub(super) async fn plan(database: &Database, target: &Target, batch: &Batch) -> Result<()> {
    let row = sql("UPDATE log_forwards SET planned = $3 WHERE target = $1 AND next_entry = $2")
        .bind(&target.id)
        .bind(as_i64(batch.first))
        .bind(as_i64(batch.end));
    database.write_unrecorded("log_forwards", row).await?;
    Ok(())
}

/// Moves the cursor past a batch that was taken. Where another replica has moved it meanwhile, it stays.
pub(super) async fn advance(
    database: &Database,
    target: &Target,
    batch: &Batch,
    now: Timestamp,
) -> Result<()> {
    let row = sql("UPDATE log_forwards SET next_entry = $3, planned = NULL, moved_at = $4, attempts = 0, \
                   next_at = $4, last_error = NULL WHERE target = $1 AND next_entry = $2")
    .bind(&target.id)
    .bind(as_i64(batch.first))
    .bind(as_i64(batch.end))
    .bind(now);
    database.write_unrecorded("log_forwards", row).await?;
    Ok(())
}

/// Lets go of the plan: it was too large to be taken.
pub(super) async fn forget_plan(database: &Database, target: &Target) -> Result<()> {
    let row = sql("UPDATE log_forwards SET planned = NULL WHERE target = $1").bind(&target.id);
    database.write_unrecorded("log_forwards", row).await?;
    Ok(())
}

/// Notes a failure, and when to try again.
pub(super) async fn postpone(database: &Database, target: &Target, at: Timestamp, why: &str) -> Result<()> {
    let row = sql("UPDATE log_forwards SET attempts = attempts + 1, next_at = $2, last_error = $3 \
                   WHERE target = $1")
    .bind(&target.id)
    .bind(at)
    .bind(why);
    database.write_unrecorded("log_forwards", row).await?;
    Ok(())
}
