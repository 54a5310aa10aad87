//! The leaver table: what she held when she left, and when each of it died.

use crate::{
    base::{Result, Timestamp, ids::PersonId},
    store::{Database, sql},
};

/// One thing that she held.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct HeldThing {
    /// What sort: `session`, `request`, `grant`, `lease`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it was, in words.
    pub what: String,
    /// Since when she had it, in milliseconds since the epoch.
    pub began_at: i64,
    /// When it ended, in milliseconds since the epoch. Nothing: it waits to be tidied up, and works no more; a
    /// lease may work until its engine has answered.
    pub ended_at: Option<i64>,
    /// Why it ended.
    pub because: Option<String>,
}

/// What `person`, who left at `since`, held then; 500 of each sort at most.
pub(super) async fn of(database: &Database, person: PersonId, since: Timestamp) -> Result<Vec<HeldThing>> {
    let mut found = Vec::new();
    for query in [
        sql("SELECT 'session' AS kind, id, kind || ' ' || label AS what, created_at AS began_at, ended_at, \
             ended_because AS because FROM sessions WHERE person = $1 AND created_at <= $2 \
             AND (ended_at IS NULL OR ended_at >= $2) ORDER BY created_at, id LIMIT 500"),
        sql("SELECT 'request' AS kind, id, scope || ' in ' || application || '/' || environment AS what, \
             created_at AS began_at, decided_at AS ended_at, state AS because FROM requests WHERE person = $1 \
             AND created_at <= $2 AND (state = 'pending' OR (state = 'withdrawn' AND decided_at >= $2)) \
             ORDER BY created_at, id LIMIT 500"),
        sql("SELECT 'grant' AS kind, id, scope || ' in ' || application || '/' || environment AS what, \
             starts_at AS began_at, ended_at, ended_because AS because FROM grants WHERE person = $1 \
             AND starts_at <= $2 AND (ended_at IS NULL OR ended_at >= $2) ORDER BY starts_at, id LIMIT 500"),
        sql("SELECT 'lease' AS kind, id, application || '/' || environment || '/' || role AS what, \
             created_at AS began_at, ended_at, because FROM leases WHERE principal = $1 AND issued_at IS NOT NULL \
             AND created_at <= $2 AND (ended_at IS NULL OR ended_at >= $2) ORDER BY created_at, id LIMIT 500"),
    ] {
        found.extend(database.fetch_all::<HeldThing>(query.bind(person).bind(since)).await?);
    }
    Ok(found)
}
