//! Opening and reading; beginning to write.

use std::{path::PathBuf, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Reserve, Room, StoreError, WriteTx,
    exceptions::{self, HeadChanges, HeadRow},
    query::{Query, Row, Text, rows_of, statement_of},
    tx::Held,
};
use crate::base::time::Stopwatch;

/// How long a connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How long a read may take: whoever asks is answered within two seconds, with a value or a problem.
const READ: Duration = Duration::from_secs(2);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Tables that may be written without an entry, because they say nothing about who may do what:
/// cursors, claims, when something was last seen, answers kept for repeats, pending sign-ins, by what a
/// provider is asked again and which of its logout tokens were taken, what is derived from the log, and
/// what is there before a log is: keys, and the mark that `dev` leaves.
pub const UNRECORDED: &[&str] = &[
    "checkpoints",
    "cosignatures",
    "cursors",
    "device_logins",
    "idempotency",
    "keys",
    "last_seen",
    "lease_accessors",
    "lease_attempts",
    "leaver_delays",
    "log_forwards",
    "log_tiles",
    "log_turns",
    "logout_tokens",
    "marks",
    "outbox",
    "pending_logins",
    "pending_sign_ins",
    "refresh_tokens",
    "rotator_failures",
    "scim_refusals",
    "standings",
];

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// One file, one process.
    Sqlite,
    /// Any number of replicas.
    Postgres,
}

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database(Pools);

#[derive(Clone, Debug)]
enum Pools {
    /// SQLite has one writer: a pool of one connection is the queue for it.
    Sqlite { write: SqlitePool, read: SqlitePool, path: PathBuf },
    /// The log's writer has a connection of its own, so that its statements stay prepared.
    Postgres { write: PgPool, read: PgPool },
}

impl Database {
    /// Opens `sqlite:PATH` or `postgres://…`. Does not migrate.
    ///
    /// # Errors
    /// Names the database where it cannot be reached; never the URL, which may hold a password.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::open_postgres(url).await;
        }
        match url.strip_prefix("sqlite:") {
            Some(path) => Self::open_sqlite(path.trim_start_matches("//")).await,
            None => Err(StoreError::Refused(
                "the database URL begins neither with sqlite: nor with postgres://".to_owned(),
            )),
        }
    }

    async fn open_sqlite(path: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on the disk before anyone hears of it.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(1))
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        exceptions::assert_sqlite_is_durable(&write).await?;
        Ok(Self(Pools::Sqlite { write, read, path: path.into() }))
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Refused("the PostgreSQL URL cannot be read".to_owned()))?
            // A replica that is paused while it holds the head of the log must not hold the others up.
            .options([("lock_timeout", "1000"), ("idle_in_transaction_session_timeout", "1000")])
            .options([("statement_timeout", "10000")])
            .application_name("port-control")
            .disable_statement_logging();
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
        };
        let read = pool(16).connect_with(options.clone()).await?;
        let write = pool(1).connect_lazy_with(options);
        Ok(Self(Pools::Postgres { write, read }))
    }

    /// Which database it is.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        match &self.0 {
            Pools::Sqlite { .. } => DatabaseKind::Sqlite,
            Pools::Postgres { .. } => DatabaseKind::Postgres,
        }
    }

    /// Brings the tables to what this version needs. Migrations only go forward.
    ///
    /// # Errors
    /// Says which migration failed.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let outcome = match &self.0 {
            Pools::Sqlite { write, .. } => MIGRATIONS.run(write).await,
            Pools::Postgres { read, .. } => {
                exceptions::prepare_postgres(read).await?;
                MIGRATIONS.run(read).await
            }
        };
        outcome.map_err(|e| StoreError::Refused(format!("migrating: {e}")))
    }

    /// How many migrations are still to be applied; an error where the database is newer than we are.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        let applied: Vec<(i64,)> = match self.fetch_all(sql_applied()).await {
            Ok(rows) => rows,
            Err(StoreError::Refused(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let known: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();
        if let Some((newer,)) = applied.iter().find(|(v,)| !known.contains(v)) {
            return Err(StoreError::Refused(format!(
                "the database has migration {newer}, which this version does not know; run the newer version"
            )));
        }
        Ok(known.len() - applied.len())
    }

    /// All rows.
    ///
    /// # Errors
    /// See [`StoreError`]; within seconds, whatever the database does.
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        query.check()?;
        patiently(|| async {
            let query = query.clone();
            match &self.0 {
                Pools::Sqlite { read, .. } => Ok(rows_of!(query).fetch_all(read).await?),
                Pools::Postgres { read, .. } => {
                    let mut on = Held::new(read.acquire().await?);
                    let rows = rows_of!(query).fetch_all(on.connection()?).await;
                    on.settle(rows)
                }
            }
        })
        .await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`StoreError`]; within seconds, whatever the database does.
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, StoreError> {
        query.check()?;
        patiently(|| async {
            let query = query.clone();
            match &self.0 {
                Pools::Sqlite { read, .. } => Ok(rows_of!(query).fetch_optional(read).await?),
                Pools::Postgres { read, .. } => {
                    let mut on = Held::new(read.acquire().await?);
                    let row = rows_of!(query).fetch_optional(on.connection()?).await;
                    on.settle(row)
                }
            }
        })
        .await
    }

    /// Writes to one of the [`UNRECORDED`] tables, without an entry. How many rows it touched.
    ///
    /// # Panics
    /// Where the statement is about any other table: that is a fault in our code, found by its first test.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn write_unrecorded(&self, table: &'static str, query: Query) -> Result<u64, StoreError> {
        assert!(UNRECORDED.contains(&table), "{table} is not to be written without an entry");
        let text = match &query.text {
            Text::Fixed(text) => text,
            Text::Composed(text) => text.as_str(),
        };
        let is_about =
            [format!("INSERT INTO {table} "), format!("UPDATE {table} "), format!("DELETE FROM {table} ")]
                .iter()
                .any(|start| text.trim_start().starts_with(start.as_str()));
        assert!(is_about, "a statement about {table} has to begin with its name");
        query.check()?;
        let writing = async {
            Ok(match &self.0 {
                Pools::Sqlite { write, .. } => statement_of!(query).execute(write).await?.rows_affected(),
                Pools::Postgres { read, .. } => statement_of!(query).execute(read).await?.rows_affected(),
            })
        };
        tokio::time::timeout(ACQUIRE, writing)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
    }

    /// Begins a transaction that writes. For `audit` alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_write(&self) -> Result<WriteTx, StoreError> {
        let mut tx = self.writer().await?;
        tx.begin().await?;
        Ok(tx)
    }

    /// Begins a transaction that writes, and locks and reads the head of the log. For `audit` alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_write_at_head(&self) -> Result<(WriteTx, Option<HeadRow>), StoreError> {
        let mut tx = self.writer().await?;
        let head = exceptions::begin_at_head(&mut tx).await?;
        Ok((tx, head))
    }

    /// The connection that writes, with nothing begun on it.
    async fn writer(&self) -> Result<WriteTx, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { write, .. } => WriteTx::Sqlite(Held::new(write.acquire().await?)),
            Pools::Postgres { write, .. } => WriteTx::Postgres(Held::new(write.acquire().await?)),
        })
    }

    /// Tells of changes of the log's head that others make. `None` on SQLite, where nobody else does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn head_changes(&self) -> Result<Option<HeadChanges>, StoreError> {
        match &self.0 {
            Pools::Sqlite { .. } => Ok(None),
            Pools::Postgres { read, .. } => HeadChanges::listen(read).await.map(Some),
        }
    }

    /// The room that is kept for the worst day. `None` on PostgreSQL, whose disk is not ours.
    #[must_use]
    pub fn reserve(&self) -> Option<Reserve> {
        match &self.0 {
            Pools::Sqlite { path, .. } => Some(Reserve::beside(path)),
            Pools::Postgres { .. } => None,
        }
    }

    /// How much room it takes and has left. `capacity` is what it may take, where its disk cannot be asked.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn room(&self, capacity: Option<u64>) -> Result<Room, StoreError> {
        match &self.0 {
            Pools::Sqlite { path, .. } => exceptions::sqlite_room(path),
            Pools::Postgres { .. } => exceptions::postgres_room(self, capacity).await,
        }
    }

    /// How many standbys there are that could take over and lack what was acknowledged. SQLite has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lagging_standbys(&self) -> Result<u64, StoreError> {
        match &self.0 {
            Pools::Sqlite { .. } => Ok(0),
            Pools::Postgres { .. } => exceptions::postgres_lagging(self).await,
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { write, read } => {
                write.close().await;
                read.close().await;
            }
        }
    }
}

/// Reads, again where a connection was found dead: after PostgreSQL was started anew, all that we kept
/// are, and the first readers must not be the ones to hear of it.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    read: impl Fn() -> F,
) -> Result<T, StoreError> {
    let since = Stopwatch::start();
    let reading = async {
        loop {
            match read().await {
                Err(error) if error.may_pass() && since.elapsed() < ACQUIRE => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                outcome => return outcome,
            }
        }
    };
    tokio::time::timeout(READ, reading)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} s", READ.as_secs()))))
}

fn sql_applied() -> Query {
    super::sql("SELECT version FROM _sqlx_migrations ORDER BY version")
}
