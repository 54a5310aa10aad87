//! Which entries were moved.

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Work, forgotten::Spans, tile::as_i64},
    base::{Result, Timestamp},
    store::{Database, Query, sql},
};

/// Entries that lie in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedRange {
    /// The first.
    pub from: u64,
    /// Before this one it ends.
    pub to: u64,
    /// Which archive: `file:///…` or `s3://BUCKET/PREFIX`.
    pub archive: String,
    /// When the first was made.
    pub oldest: Timestamp,
    /// When the last was made.
    pub newest: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    first: i64,
    next_entry: i64,
    place: String,
    oldest: i64,
    newest: i64,
}

impl From<Row> for ArchivedRange {
    fn from(row: Row) -> Self {
        Self {
            from: row.first.unsigned_abs(),
            to: row.next_entry.unsigned_abs(),
            archive: row.place,
            oldest: Timestamp::from_millis(row.oldest),
            newest: Timestamp::from_millis(row.newest),
        }
    }
}

const ROWS: &str = "SELECT first, next_entry, place, oldest, newest FROM log_archives";

/// Those that hold anything from `from` to before `to`, the lowest first.
pub(in crate::audit) async fn within(database: &Database, from: u64, to: u64) -> Result<Vec<ArchivedRange>> {
    let text = format!("{ROWS} WHERE next_entry > $1 AND first < $2 ORDER BY first");
    let query = Query::composed(text, vec![as_i64(from).into(), as_i64(to).into()]);
    let rows: Vec<Row> = database.fetch_all(query).await?;
    Ok(rows.into_iter().map(ArchivedRange::from).collect())
}

/// All of them.
pub(in crate::audit) async fn all(database: &Database) -> Result<Vec<ArchivedRange>> {
    within(database, 0, u64::MAX).await
}

/// The first that holds the entry `index` or one after it.
pub(in crate::audit) async fn next(database: &Database, index: u64) -> Result<Option<ArchivedRange>> {
    let text = format!("{ROWS} WHERE next_entry > $1 ORDER BY first LIMIT 1");
    let row: Option<Row> = database.fetch_optional(Query::composed(text, vec![as_i64(index).into()])).await?;
    Ok(row.map(ArchivedRange::from))
}

/// Which entries these are.
pub(in crate::audit) fn spans(ranges: &[ArchivedRange]) -> Spans {
    ranges.iter().fold(Spans::default(), |spans, range| spans.with(range.from, range.to))
}

/// Notes that a range was moved; one that follows another is joined to it.
pub(super) async fn note(work: &mut Work<'_>, range: &ArchivedRange) -> Result<()> {
    let (from, to) = (as_i64(range.from), as_i64(range.to));
    let joined = work
        .execute(
            sql("UPDATE log_archives SET next_entry = $2, newest = $3 WHERE next_entry = $1 AND place = $4")
                .bind(from)
                .bind(to)
                .bind(range.newest)
                .bind(&range.archive),
        )
        .await?;
    if joined == 0 {
        work.execute(
            sql("INSERT INTO log_archives (first, next_entry, place, oldest, newest) \
                 VALUES ($1, $2, $3, $4, $5)")
            .bind(from)
            .bind(to)
            .bind(&range.archive)
            .bind(range.oldest)
            .bind(range.newest),
        )
        .await?;
    }
    Ok(())
}
