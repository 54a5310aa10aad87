//! What the two databases cannot say in the same words: one function, two bodies each (invariant 9).

use std::path::Path;

use sqlx::{FromRow as _, PgPool, Row as _, SqlitePool, postgres::PgListener};

use super::{Arg, Database, Query, Room, StoreError, WriteTx, sql};

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

/// Locks the head on PostgreSQL.
macro_rules! lock_head_text {
    () => {
        "SELECT size, root, edge, time, current_setting('synchronous_commit') AS durable, \
         pg_notify('port_control_log', '') FROM log_head WHERE id = 1 FOR UPDATE"
    };
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
    let locked: Option<LockedHead> = tx.fetch_optional(sql(lock_head_text!())).await?;
    locked.map(LockedHead::durable).transpose()
}

impl LockedHead {
    /// The head, where a commit that moves it will last.
    fn durable(self) -> Result<HeadRow, StoreError> {
        if ["off", "local"].contains(&self.durable.as_str()) {
            return Err(StoreError::Refused(format!(
                "synchronous_commit is '{}': a commit could be lost after it was acknowledged; set it to 'on'",
                self.durable
            )));
        }
        Ok(self.head)
    }
}

/// Begins the transaction and does what [`lock_head`] does, at once: SQLite has a thread of its own, and
/// PostgreSQL is another process, and every turn of theirs costs as much as a small statement.
///
/// # Errors
/// See [`StoreError`].
pub(super) async fn begin_at_head(tx: &mut WriteTx) -> Result<Option<HeadRow>, StoreError> {
    if let WriteTx::Sqlite(_) = tx {
        let both = "BEGIN IMMEDIATE; SELECT size, root, edge, time FROM log_head WHERE id = 1";
        return tx.fetch_optional(sql(both)).await;
    }
    let WriteTx::Postgres(on) = tx else { return Ok(None) };
    let both = sqlx::raw_sql(concat!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ", lock_head_text!()));
    let locked = both.fetch_optional(on.connection()?).await?;
    let locked = locked.as_ref().map(LockedHead::from_row).transpose()?;
    locked.map(LockedHead::durable).transpose()
}

/// Moves the head from one size and root to another, notes the batch that did it, and commits. The arguments
/// are: size, root, edge, batch, time; size and root of before; first index, batch, number of entries.
///
/// # Errors
/// See [`StoreError`]. Where the head was not where it was thought to be, nothing is committed; else the
/// batch tells whether it was.
pub async fn commit_at_head(mut tx: WriteTx, args: [Arg; 10]) -> Result<(), StoreError> {
    let text = match tx {
        // At once, for the same reason as in the beginning. Where the head was not moved, a batch without a
        // size is refused, and SQLite does not get to what follows.
        WriteTx::Sqlite(_) => {
            "UPDATE log_head SET size = $1, root = $2, edge = $3, batch = $4, time = $5 \
             WHERE id = 1 AND size = $6 AND root = $7; \
             INSERT INTO batches (first, id, size) SELECT $8, $9, CASE WHEN changes() = 1 THEN $10 END; \
             COMMIT"
        }
        WriteTx::Postgres(_) => {
            "WITH moved AS (UPDATE log_head SET size = $1, root = $2, edge = $3, batch = $4, time = $5 \
             WHERE id = 1 AND size = $6 AND root = $7 RETURNING id) \
             INSERT INTO batches (first, id, size) \
             SELECT CAST($8 AS BIGINT), CAST($9 AS TEXT), CAST($10 AS BIGINT) FROM moved"
        }
    };
    let query = args.into_iter().fold(sql(text), Query::bind);
    let done = tx.execute(query).await?;
    match tx {
        WriteTx::Sqlite(_) => tx.release(),
        WriteTx::Postgres(_) if done == 1 => tx.commit().await?,
        WriteTx::Postgres(_) => {
            return Err(StoreError::Refused("the head of the log moved underneath".to_owned()));
        }
    }
    Ok(())
}

/// Rows for one table.
pub struct Rows {
    /// The table.
    pub table: &'static str,
    /// Its columns.
    pub columns: Vec<&'static str>,
    /// What is in them, row by row.
    pub args: Vec<Arg>,
}

/// Inserts rows into two tables at once.
///
/// # Errors
/// See [`StoreError`].
pub async fn insert_both(tx: &mut WriteTx, one: Rows, other: Rows) -> Result<(), StoreError> {
    let text = match tx {
        WriteTx::Sqlite(_) => {
            let insert =
                |rows: &Rows| format!("{} {}", rows.head(), sqlite_values(rows.columns.len(), rows.count()));
            format!("{}; {}", insert(&one), insert(&other))
        }
        WriteTx::Postgres(_) => {
            let values = postgres_values(one.columns.len(), one.count(), 0);
            let further = postgres_values(other.columns.len(), other.count(), one.args.len());
            format!("WITH one AS ({} {values}) {} {further}", one.head(), other.head())
        }
    };
    let mut args = one.args;
    args.extend(other.args);
    tx.execute(Query::composed(text, args)).await?;
    Ok(())
}

impl Rows {
    fn count(&self) -> usize {
        self.args.len() / self.columns.len()
    }

    fn head(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES", self.table, self.columns.join(", "))
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

/// How much room a file takes and has left: what is beside it, and the disk that it lies on.
///
/// # Errors
/// Where the disk does not say.
pub(super) fn sqlite_room(path: &Path) -> Result<Room, StoreError> {
    let size = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).map_or(0, |file| file.len())
    };
    let folder = path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(folder).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    let used = ["", "-wal", "-shm"].into_iter().map(size).sum();
    Ok(Room { used, free: Some(disk.f_bavail.saturating_mul(disk.f_frsize)) })
}

/// How much room a database takes, with the write-ahead log of its server where we may ask for it.
/// PostgreSQL cannot be asked for its disk; what is left of `capacity` is free.
///
/// # Errors
/// See [`StoreError`].
pub(super) async fn postgres_room(database: &Database, capacity: Option<u64>) -> Result<Room, StoreError> {
    let row: Option<(i64, bool)> = database
        .fetch_optional(sql(
            "SELECT pg_database_size(current_database()), has_function_privilege('pg_ls_waldir()', 'EXECUTE')",
        ))
        .await?;
    let (data, may_ask) = row.unwrap_or_default();
    let mut used = data.unsigned_abs();
    if may_ask {
        let wal = sql("SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM pg_ls_waldir()");
        let wal: Option<(i64,)> = database.fetch_optional(wal).await?;
        used += wal.map_or(0, |(bytes,)| bytes.unsigned_abs());
    }
    Ok(Room { used, free: capacity.map(|capacity| capacity.saturating_sub(used)) })
}

/// How many standbys a PostgreSQL has that may lack what was acknowledged, because none of them is waited
/// for.
///
/// # Errors
/// See [`StoreError`].
pub(super) async fn postgres_lagging(database: &Database) -> Result<u64, StoreError> {
    let row: Option<(i64, String)> = database
        .fetch_optional(sql(
            "SELECT count(*), current_setting('synchronous_standby_names') FROM pg_stat_replication",
        ))
        .await?;
    Ok(row.filter(|(_, waited_for)| waited_for.is_empty()).map_or(0, |(standbys, _)| standbys.unsigned_abs()))
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
fn sqlite_values(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

/// `($1, $2), ($3, $4)`: PostgreSQL knows parameters by number alone; so many are in use before.
fn postgres_values(columns: usize, rows: usize, before: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<String> =
            (1..=columns).map(|n| format!("${}", before + row * columns + n)).collect();
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
        assert_eq!(postgres_values(2, 2, 0), "($1, $2), ($3, $4)");
        assert_eq!(postgres_values(1, 2, 3), "($4), ($5)");
    }
}
