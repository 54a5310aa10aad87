//! Opening, reading, and the one transaction type that writes.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    StoreError,
    query::{Arg, Query, Row, Text},
};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Tables that may be written without an entry, because they say nothing about who may do what:
/// cursors, claims, when something was last seen, answers kept for repeats, pending sign-ins, and
/// what is derived from the log.
pub const UNRECORDED: &[&str] =
    &["checkpoints", "cursors", "idempotency", "last_seen", "outbox", "pending_logins", "pending_sign_ins"];

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
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction that writes. Dropped without a commit, it leaves nothing.
pub enum WriteTx {
    /// On SQLite: BEGIN IMMEDIATE on the one writing connection.
    Sqlite(Transaction<'static, Sqlite>),
    /// On PostgreSQL: READ COMMITTED, with lock and idle time-outs.
    Postgres(Transaction<'static, Postgres>),
}

/// Runs the same body on whichever database it is.
macro_rules! run {
    ($query:expr, $bind:ident => $on:expr) => {{
        let mut bound = $on;
        for arg in $query.args {
            bound = match arg {
                Arg::Text(v) => bound.bind(v),
                Arg::Int(v) => bound.bind(v),
                Arg::Bool(v) => bound.bind(v),
                Arg::Blob(v) => bound.bind(v),
            };
        }
        bound
    }};
}

macro_rules! query_as {
    ($query:expr) => {
        match $query.text.clone() {
            Text::Fixed(text) => run!($query, bind => sqlx::query_as(text)),
            Text::Composed(text) => run!($query, bind => sqlx::query_as(AssertSqlSafe(text))),
        }
    };
}

macro_rules! query {
    ($query:expr) => {
        match $query.text.clone() {
            Text::Fixed(text) => run!($query, bind => sqlx::query(text)),
            Text::Composed(text) => run!($query, bind => sqlx::query(AssertSqlSafe(text))),
        }
    };
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
            .acquire_timeout(Duration::from_secs(2))
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(2))
            .test_before_acquire(false)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self(Pools::Sqlite { write, read }))
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Refused("the PostgreSQL URL cannot be read".to_owned()))?
            // A replica that is paused while it holds the head of the log must not hold the others up.
            .options([("lock_timeout", "1000"), ("idle_in_transaction_session_timeout", "1000")])
            .options([("statement_timeout", "10000")])
            .application_name("port-control")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(2))
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self(Pools::Postgres(pool)))
    }

    /// Which database it is.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        match &self.0 {
            Pools::Sqlite { .. } => DatabaseKind::Sqlite,
            Pools::Postgres(_) => DatabaseKind::Postgres,
        }
    }

    /// Brings the tables to what this version needs. Migrations only go forward.
    ///
    /// # Errors
    /// Says which migration failed.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let outcome = match &self.0 {
            Pools::Sqlite { write, .. } => MIGRATIONS.run(write).await,
            Pools::Postgres(pool) => {
                super::exceptions::prepare_postgres(pool).await?;
                MIGRATIONS.run(pool).await
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
    /// See [`StoreError`].
    pub async fn fetch_all<T: Row>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { read, .. } => query_as!(query).fetch_all(read).await?,
            Pools::Postgres(pool) => query_as!(query).fetch_all(pool).await?,
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch_optional<T: Row>(&self, query: Query) -> Result<Option<T>, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { read, .. } => query_as!(query).fetch_optional(read).await?,
            Pools::Postgres(pool) => query_as!(query).fetch_optional(pool).await?,
        })
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
        Ok(match &self.0 {
            Pools::Sqlite { write, .. } => query!(query).execute(write).await?.rows_affected(),
            Pools::Postgres(pool) => query!(query).execute(pool).await?.rows_affected(),
        })
    }

    /// Begins a transaction that writes. For `audit` alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_write(&self) -> Result<WriteTx, StoreError> {
        Ok(match &self.0 {
            Pools::Sqlite { write, .. } => WriteTx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => WriteTx::Postgres(pool.begin().await?),
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

fn sql_applied() -> Query {
    super::sql("SELECT version FROM _sqlx_migrations ORDER BY version")
}

impl WriteTx {
    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn execute(&mut self, query: Query) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => query!(query).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => query!(query).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => query_as!(query).fetch_all(&mut **tx).await?,
            Self::Postgres(tx) => query_as!(query).fetch_all(&mut **tx).await?,
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => query_as!(query).fetch_optional(&mut **tx).await?,
            Self::Postgres(tx) => query_as!(query).fetch_optional(&mut **tx).await?,
        })
    }

    /// Commits. For `audit` alone.
    ///
    /// # Errors
    /// Whether it happened is then unknown; the batch id in the head row tells.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
