//! The one transaction type that writes.

use sqlx::{Database as Backend, Postgres, Sqlite, pool::PoolConnection};

use super::{
    Query, Row, StoreError,
    query::{rows_of, statement_of},
    sql,
};

/// A transaction that writes. Dropped without a commit, it leaves nothing.
pub enum WriteTx {
    /// On SQLite: BEGIN IMMEDIATE on the one writing connection.
    Sqlite(Held<Sqlite>),
    /// On PostgreSQL: READ COMMITTED, with lock and idle time-outs.
    Postgres(Held<Postgres>),
}

/// A connection in the middle of something. Where that does not end as it should, because it was given
/// up while the database hangs, the connection ends with it: what another would find on it is not
/// known, and its place in the pool is free at once.
pub struct Held<B: Backend>(Option<PoolConnection<B>>);

impl<B: Backend> Held<B> {
    pub(super) fn new(connection: PoolConnection<B>) -> Self {
        Self(Some(connection))
    }

    /// The connection.
    ///
    /// # Errors
    /// Where the transaction has ended.
    pub(super) fn connection(&mut self) -> Result<&mut B::Connection, StoreError> {
        self.0.as_deref_mut().ok_or_else(|| StoreError::Refused("the transaction has ended".to_owned()))
    }

    /// Hands the connection back to the pool: nothing is open on it.
    pub(super) fn release(&mut self) {
        self.0 = None;
    }
}

impl<B: Backend> Held<B> {
    /// Keeps the connection where it answered, be it by a refusal.
    pub(super) fn settle<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let outcome = outcome.map_err(StoreError::from);
        if !outcome.as_ref().is_err_and(StoreError::may_pass) {
            self.release();
        }
        outcome
    }
}

impl<B: Backend> Drop for Held<B> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl WriteTx {
    /// Begins, where that is not done with the first statement.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        self.execute(sql(begin)).await.map(drop)
    }

    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn execute(&mut self, query: Query) -> Result<u64, StoreError> {
        query.check()?;
        Ok(match self {
            Self::Sqlite(tx) => statement_of!(query).execute(tx.connection()?).await?.rows_affected(),
            Self::Postgres(tx) => statement_of!(query).execute(tx.connection()?).await?.rows_affected(),
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>, StoreError> {
        query.check()?;
        Ok(match self {
            Self::Sqlite(tx) => rows_of!(query).fetch_all(tx.connection()?).await?,
            Self::Postgres(tx) => rows_of!(query).fetch_all(tx.connection()?).await?,
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>, StoreError> {
        query.check()?;
        Ok(match self {
            Self::Sqlite(tx) => rows_of!(query).fetch_optional(tx.connection()?).await?,
            Self::Postgres(tx) => rows_of!(query).fetch_optional(tx.connection()?).await?,
        })
    }

    /// Commits. For `audit` alone.
    ///
    /// # Errors
    /// Whether it happened is then unknown; the batch id in the log's tables tells.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.execute(sql("COMMIT")).await?;
        self.release();
        Ok(())
    }

    /// Undoes everything, and keeps the connection.
    ///
    /// # Errors
    /// See [`StoreError`]; it is undone nevertheless, with the connection.
    pub async fn roll_back(mut self) -> Result<(), StoreError> {
        self.execute(sql("ROLLBACK")).await?;
        self.release();
        Ok(())
    }

    /// Hands the connection back: nothing is open on it.
    pub(super) fn release(&mut self) {
        match self {
            Self::Sqlite(tx) => tx.release(),
            Self::Postgres(tx) => tx.release(),
        }
    }
}
