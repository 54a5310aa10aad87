//! What the two databases cannot say in the same words: one function, two bodies each (invariant 9).

use sqlx::{PgPool, Row as _, SqlitePool, postgres::PgListener};

use super::{StoreError, WriteTx, sql};

/// The channel on which PostgreSQL tells replicas that the log has grown.
const HEAD_CHANNEL: &str = "port_control_log";

/// The head of the log as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub struct HeadRow {
    /// Number of entries.
    pub size: i64,
    /// Root of the tree.
    pub root: Vec<u8>,
    /// Roots of its complete subtrees.
    pub edge: Vec<u8>,
    /// Time of the newest entry.
    pub time: i64,
}

#[derive(sqlx::FromRow)]
struct LockedHead {
    #[sqlx(flatten)]
    head: HeadRow,
    durable: String,
}

/// The first statement of every writing transaction, and the head that it finds. On PostgreSQL it makes
/// the replicas queue for the head, sees to it that a commit is on the disk before anyone hears of it,
/// and tells the other replicas when it commits; on SQLite, BEGIN IMMEDIATE has done the first already,
/// the second was seen to when the database was opened, and there is nobody to tell.
///
/// # Errors
/// See [`StoreError`].
pub async fn lock_head(tx: &mut WriteTx) -> Result<Option<HeadRow>, StoreError> {
    if let WriteTx::Sqlite(_) = tx {
        return tx.fetch_optional(sql("SELECT size, root, edge, time FROM log_head WHERE id = 1")).await;
    }
    let locked: Option<LockedHead> = tx
        .fetch_optional(sql(
            "SELECT size, root, edge, time, current_setting('synchronous_commit') AS durable, \
             pg_notify('port_control_log', '') FROM log_head WHERE id = 1 FOR UPDATE",
        ))
        .await?;
    match locked {
        Some(locked) if ["off", "local"].contains(&locked.durable.as_str()) => {
            Err(StoreError::Refused(format!(
                "synchronous_commit is '{}': a commit could be lost after it was acknowledged; set it to 'on'",
                locked.durable
            )))
        }
        locked => Ok(locked.map(|locked| locked.head)),
    }
}

/// Tells when another replica has moved the head.
pub struct HeadChanges(PgListener);

impl HeadChanges {
    pub(super) async fn listen(pool: &PgPool) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(HEAD_CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next change. Some may have been missed where it answers with an error; so whoever
    /// listens anew looks at the head, too.
    ///
    /// # Errors
    /// Where the connection was lost.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match self.0.try_recv().await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable("the connection was lost".to_owned())),
        }
    }
}

/// Refuses a file that SQLite would not write as the log needs it; some file systems have no WAL.
///
/// # Errors
/// Says which setting is not as it has to be.
pub(super) async fn assert_sqlite_is_durable(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
    let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *connection).await?;
    let busy: i64 = sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(&mut *connection).await?;
    let wrong = match (mode.as_str(), synchronous, foreign_keys, busy) {
        ("wal", 2 | 3, 1, 1..) => return Ok(()),
        ("wal", 2 | 3, ..) => "foreign keys or the time-out for locks are not as they were set".to_owned(),
        ("wal", ..) => "synchronous is not FULL".to_owned(),
        _ => format!("the journal is '{mode}' and not WAL; put the database on a local disk"),
    };
    Err(StoreError::Refused(wrong))
}

/// PostgreSQL has no BLOB: the migrations are one folder because a domain of that name stands in.
///
/// # Errors
/// See [`StoreError`].
pub(super) async fn prepare_postgres(pool: &PgPool) -> Result<(), StoreError> {
    // Two replicas may start at once; the advisory lock makes one of them wait.
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(7078675)").execute(&mut *tx).await?;
    let found =
        sqlx::query("SELECT count(*) FROM pg_type WHERE typname = 'blob'").fetch_one(&mut *tx).await?;
    if found.get::<i64, _>(0) == 0 {
        sqlx::query("CREATE DOMAIN blob AS bytea").execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// `(?, ?), (?, ?)`: SQLite looks names of parameters up one by one, which many rows make slow.
pub(super) fn sqlite_values(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

/// `($1, $2), ($3, $4)`: PostgreSQL knows parameters by number alone.
pub(super) fn postgres_values(columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<String> = (1..=columns).map(|n| format!("${}", row * columns + n)).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_parameter_for_each_column_of_each_row() {
        assert_eq!(sqlite_values(2, 2), "(?, ?), (?, ?)");
        assert_eq!(postgres_values(2, 2), "($1, $2), ($3, $4)");
    }
}
