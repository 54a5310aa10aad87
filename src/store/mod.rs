//! The two databases, SQLite and PostgreSQL, behind one way to query and one transaction type.
//!
//! Each query is written once (invariant 9): `$1` placeholders, times as BIGINT milliseconds, ids and
//! names as TEXT, digests and sealed values as BLOB (a domain over bytea on PostgreSQL). What cannot be
//! written once has a name in [`exceptions`], with two bodies and a test each.
//!
//! Reading is free for all. Writing goes through [`WriteTx`], which only `audit` may begin and commit
//! (held by a test), so that nothing changes without its entry; the few tables that may be written
//! without one are listed in [`UNRECORDED`].

mod database;
pub mod exceptions;
mod query;

pub use database::{Database, DatabaseKind, UNRECORDED, WriteTx};
pub use query::{Arg, Query, Row, sql};

use crate::base::{Problem, ProblemKind};

/// What a query failed with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row of that key is there already.
    #[error("a row with this key exists already")]
    Duplicate,
    /// The database did not answer, or not in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Anything else: a fault of ours or a full disk.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) if e.is_unique_violation() => Self::Duplicate,
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Tls(_) => Self::Unavailable(error.to_string()),
            // 57P01..57P05: an operator or a crash ended the connection; 53xxx: no resources left.
            sqlx::Error::Database(e)
                if e.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("53")) =>
            {
                Self::Unavailable(e.message().to_owned())
            }
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate => Self::new(ProblemKind::AlreadyExists, error.to_string()),
            StoreError::Unavailable(_) => Self::new(ProblemKind::DatabaseUnavailable, error.to_string())
                .remedy("Try again; `port-control check` says whether the database is reached."),
            StoreError::Refused(_) => Self::internal(error.to_string()),
        }
    }
}
