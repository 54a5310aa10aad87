//! One query text and its arguments, for either database.

use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};

use super::StoreError;
use crate::base::{EnvironmentRef, Name, SecretName, SecretRef, Timestamp, ids};

/// A row type that both databases can fill: derive [`sqlx::FromRow`] on a struct of `String`, `i64`,
/// `bool`, `Vec<u8>` and options of them.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// One argument of a query. Typed even when NULL, because PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub enum Arg {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN.
    Bool(bool),
    /// BLOB.
    Blob(Option<Vec<u8>>),
}

/// A query and its arguments.
#[derive(Clone)]
pub struct Query {
    pub(super) text: Text,
    pub(super) args: Vec<Arg>,
}

#[derive(Clone)]
pub(super) enum Text {
    Fixed(&'static str),
    Composed(String),
}

/// How many rows one statement is about at most, where it is about many: both databases take as many arguments.
pub const AT_ONCE: usize = 1000;

/// `($1, $2, …)` for so many arguments, after `first - 1` others.
#[must_use]
pub fn placeholders(first: usize, count: usize) -> String {
    let all: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    format!("({})", all.join(", "))
}

/// A query whose text is fixed at compile time.
#[must_use]
pub fn sql(text: &'static str) -> Query {
    Query { text: Text::Fixed(text), args: Vec::new() }
}

impl Query {
    /// A query whose text was put together, for filters. Only ever from fixed parts: no input in it.
    #[must_use]
    pub fn composed(text: String, args: Vec<Arg>) -> Self {
        Self { text: Text::Composed(text), args }
    }

    /// Refuses what only one of the two databases would take (invariant 9).
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let has_nul = |arg: &Arg| matches!(arg, Arg::Text(Some(text)) if text.contains('\0'));
        if self.args.iter().any(has_nul) { Err(StoreError::Nul) } else { Ok(()) }
    }

    /// Adds the next argument: the first is `$1`.
    #[must_use]
    pub fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! args {
    ($($type:ty => $variant:ident($value:ident => $convert:expr);)*) => {$(
        impl From<$type> for Arg {
            fn from($value: $type) -> Self {
                Self::$variant(Some($convert))
            }
        }

        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(|$value| $convert))
            }
        }
    )*};
}

args! {
    String => Text(v => v);
    &String => Text(v => v.clone());
    &str => Text(v => v.to_owned());
    i64 => Int(v => v);
    u32 => Int(v => i64::from(v));
    Timestamp => Int(v => v.as_millis());
    Vec<u8> => Blob(v => v);
    &[u8] => Blob(v => v.to_vec());
    [u8; 32] => Blob(v => v.to_vec());
    &[u8; 32] => Blob(v => v.to_vec());
    Name => Text(v => v.to_string());
    &Name => Text(v => v.to_string());
    SecretName => Text(v => v.to_string());
    &SecretName => Text(v => v.to_string());
    EnvironmentRef => Text(v => v.to_string());
    &EnvironmentRef => Text(v => v.to_string());
    SecretRef => Text(v => v.to_string());
    &SecretRef => Text(v => v.to_string());
    ids::PersonId => Text(v => v.to_string());
    ids::SessionId => Text(v => v.to_string());
    ids::LoginId => Text(v => v.to_string());
    ids::RequestId => Text(v => v.to_string());
    ids::GrantId => Text(v => v.to_string());
    ids::SecretId => Text(v => v.to_string());
    ids::VersionId => Text(v => v.to_string());
    ids::ExposureId => Text(v => v.to_string());
    ids::RotationTaskId => Text(v => v.to_string());
    ids::WaiverId => Text(v => v.to_string());
    ids::IntentId => Text(v => v.to_string());
    ids::LeaseId => Text(v => v.to_string());
    ids::BatchId => Text(v => v.to_string());
    ids::MessageId => Text(v => v.to_string());
    ids::HoldId => Text(v => v.to_string());
    ids::WorkloadTokenId => Text(v => v.to_string());
    ids::RemovalId => Text(v => v.to_string());
    ids::RemovalBatchId => Text(v => v.to_string());
    ids::ExpectationId => Text(v => v.to_string());
    ids::MoveId => Text(v => v.to_string());
}

/// Runs the same body on whichever database it is.
macro_rules! bind_all {
    ($query:expr, $on:expr) => {{
        let mut bound = $on;
        for arg in $query.args {
            bound = match arg {
                $crate::store::Arg::Text(v) => bound.bind(v),
                $crate::store::Arg::Int(v) => bound.bind(v),
                $crate::store::Arg::Bool(v) => bound.bind(v),
                $crate::store::Arg::Blob(v) => bound.bind(v),
            };
        }
        bound
    }};
}

/// A query of sqlx whose rows are read as a type.
macro_rules! rows_of {
    ($query:expr) => {
        match $query.text {
            $crate::store::query::Text::Fixed(text) => {
                $crate::store::query::bind_all!($query, sqlx::query_as(text))
            }
            $crate::store::query::Text::Composed(text) => {
                $crate::store::query::bind_all!($query, sqlx::query_as(sqlx::AssertSqlSafe(text)))
            }
        }
    };
}

/// A query of sqlx whose rows are not read.
macro_rules! statement_of {
    ($query:expr) => {
        match $query.text {
            $crate::store::query::Text::Fixed(text) => {
                $crate::store::query::bind_all!($query, sqlx::query(text))
            }
            $crate::store::query::Text::Composed(text) => {
                $crate::store::query::bind_all!($query, sqlx::query(sqlx::AssertSqlSafe(text)))
            }
        }
    };
}

pub(super) use {bind_all, rows_of, statement_of};
