//! What the two databases cannot say in the same words: one function, two bodies each (invariant 9).

use sqlx::{PgPool, Row as _};

use super::{StoreError, WriteTx, sql};

/// The first statement of every writing transaction: on PostgreSQL it makes the replicas queue for the
/// head of the log; on SQLite, BEGIN IMMEDIATE has done so already.
///
/// # Errors
/// See [`StoreError`].
pub async fn lock_head(tx: &mut WriteTx) -> Result<(), StoreError> {
    match tx {
        WriteTx::Sqlite(_) => Ok(()),
        WriteTx::Postgres(_) => {
            let _: Option<(i64,)> =
                tx.fetch_optional(sql("SELECT size FROM log_head WHERE id = 1 FOR UPDATE")).await?;
            Ok(())
        }
    }
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
