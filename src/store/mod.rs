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
mod reserve;
mod room;
mod tx;

pub use database::{Database, DatabaseKind, UNRECORDED};
pub use query::{AT_ONCE, Arg, Query, Row, placeholders, sql};
pub use reserve::Reserve;
pub use room::{Room, shown};
use sqlx::error::DatabaseError;
pub use tx::WriteTx;

use crate::base::{Problem, ProblemKind};

/// What a query failed with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A row of that key is there already.
    #[error("a row with this key exists already")]
    Duplicate,
    /// The database did not answer, or not in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// There is no room left to write.
    #[error("the database has no room left: {0}")]
    NoRoom(String),
    /// The disk could not say whether what was written has reached it. Nothing that this process
    /// believes about the database can be trusted from here on.
    #[error("the disk failed under the database: {0}")]
    Broken(String),
    /// A text holds U+0000, which only one of the two databases would take.
    #[error("a text holds the character U+0000, which nothing here may hold")]
    Nul,
    /// Anything else: a fault of ours.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) => Self::from_database(e.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_) => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl StoreError {
    /// From the code that the database gave: SQLite's extended result code, or PostgreSQL's SQLSTATE.
    fn from_database(error: &dyn DatabaseError) -> Self {
        if error.is_unique_violation() {
            return Self::Duplicate;
        }
        let code = error.code().unwrap_or_default();
        let said = error.message().to_owned();
        // An SQLSTATE has five characters, and no code of SQLite has.
        match code.parse() {
            Ok(number) if code.len() < 5 => Self::from_sqlite(number, said),
            _ => Self::from_sqlstate(&code, said),
        }
    }

    fn from_sqlite(code: i32, said: String) -> Self {
        // SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC: what is on the disk is no longer known.
        match (code, code & 0xff) {
            (1034 | 1290, _) => Self::Broken(said),
            (_, 13) => Self::NoRoom(said),
            // BUSY, LOCKED, IOERR, CANTOPEN.
            (_, 5 | 6 | 10 | 14) => Self::Unavailable(said),
            _ => Self::Refused(said),
        }
    }

    fn from_sqlstate(code: &str, said: String) -> Self {
        match code {
            "53100" => Self::NoRoom(said),
            // A deadlock, a conflict, a lock or statement that took too long, a session that was idle
            // for too long in a transaction, a standby.
            "40001" | "40P01" | "55P03" | "57014" | "25P03" | "25006" => Self::Unavailable(said),
            // 08: connections; 53: no resources; 57P: an operator or a crash ended it; 58: the system.
            _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(said)
            }
            _ => Self::Refused(said),
        }
    }

    /// Whether it may be gone the next time, on another connection.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate => Self::new(ProblemKind::AlreadyExists, error.to_string()),
            StoreError::Unavailable(_) => Self::new(ProblemKind::DatabaseUnavailable, error.to_string())
                .remedy("Try again; `port-control check` says whether the database is reached."),
            StoreError::NoRoom(_) | StoreError::Broken(_) => {
                Self::new(ProblemKind::NotRecorded, error.to_string())
                    .remedy("Give the database more room; `port-control check` says how much there is.")
            }
            StoreError::Nul => Self::invalid(error.to_string()).remedy("Leave that character out."),
            StoreError::Refused(_) => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fsync_is_no_passing_trouble() {
        for code in [1034, 1290] {
            assert!(matches!(StoreError::from_sqlite(code, String::new()), StoreError::Broken(_)), "{code}");
        }
    }

    #[test]
    fn a_full_disk_has_a_name_on_both() {
        assert!(matches!(StoreError::from_sqlite(13, String::new()), StoreError::NoRoom(_)));
        assert!(matches!(StoreError::from_sqlstate("53100", String::new()), StoreError::NoRoom(_)));
    }

    #[test]
    fn what_may_pass_is_told_from_faults() {
        for code in ["57P01", "08006", "55P03", "40P01", "25P03", "53300"] {
            assert!(StoreError::from_sqlstate(code, String::new()).may_pass(), "{code}");
        }
        for code in ["42601", "23503", "22001"] {
            assert!(!StoreError::from_sqlstate(code, String::new()).may_pass(), "{code}");
        }
        for code in [5, 6, 10, 266, 517] {
            assert!(StoreError::from_sqlite(code, String::new()).may_pass(), "{code}");
        }
        assert!(!StoreError::from_sqlite(11, String::new()).may_pass());
    }
}
