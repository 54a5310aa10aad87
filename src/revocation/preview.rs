//! What would end if somebody left: nothing is changed, nothing is noted.

use super::rotation::Lenient;
use crate::{
    access::{Power, powers_of, stored, stored_environment},
    base::{Result, SecretRef, Timestamp, ids::PersonId},
    catalog::Snapshot,
    store::{Database, sql},
};

/// What would end.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Sessions that would end.
    pub sessions: i64,
    /// Requests of hers that would be withdrawn.
    pub requests: i64,
    /// Grants that would end.
    pub grants: i64,
    /// Leases that would be taken back.
    pub leases: i64,
    /// Requests of others that she could decide.
    pub powers: Vec<Power>,
    /// Secrets in use whose values she knows: they would have to be changed.
    pub secrets: Vec<SecretRef>,
}

#[derive(sqlx::FromRow)]
struct Counts {
    sessions: i64,
    requests: i64,
    grants: i64,
    leases: i64,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    application: String,
    environment: String,
    team: String,
    name: String,
}

/// What would end if `person` left at `now`.
pub(super) async fn of(
    database: &Database,
    declared: &Snapshot,
    person: PersonId,
    now: Timestamp,
) -> Result<Preview> {
    let counts: Option<Counts> = database
        .fetch_optional(
            sql("SELECT \
                 (SELECT count(*) FROM sessions WHERE person = $1 AND ended_at IS NULL AND ends_at > $2) AS sessions, \
                 (SELECT count(*) FROM requests WHERE person = $1 AND state = 'pending') AS requests, \
                 (SELECT count(*) FROM grants WHERE person = $1 AND ended_at IS NULL AND ends_at > $2) AS grants, \
                 (SELECT count(*) FROM leases WHERE principal = $1 AND state <> 'ended') AS leases")
            .bind(person)
            .bind(now),
        )
        .await?;
    let counts = counts.unwrap_or(Counts { sessions: 0, requests: 0, grants: 0, leases: 0 });
    Ok(Preview {
        sessions: counts.sessions,
        requests: counts.requests,
        grants: counts.grants,
        leases: counts.leases,
        powers: powers_of(database, declared, person, now).await?,
        secrets: known_in_use(database, declared, person).await?,
    })
}

/// The secrets that have a value in use which `person` knows, but for what trust scopes say to ignore.
pub(super) async fn known_in_use(
    database: &Database,
    declared: &Snapshot,
    person: PersonId,
) -> Result<Vec<SecretRef>> {
    let rows: Vec<KnownRow> = database
        .fetch_all(
            sql("SELECT DISTINCT s.application, s.environment, s.team, s.name FROM exposures e \
                 JOIN versions v ON v.fingerprint = e.fingerprint JOIN secrets s ON s.id = v.secret \
                 WHERE e.principal = $1 AND (e.scope IS NULL OR $2 NOT LIKE '%,' || e.scope || ',%') AND ((v.number = s.current_number AND v.state = 'live') OR EXISTS \
                     (SELECT 1 FROM delivered_versions d WHERE d.secret = s.id AND d.version = v.id)) \
                 ORDER BY s.application, s.environment, s.team, s.name")
            .bind(person)
            .bind(Lenient::of(declared).ignoring),
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(SecretRef {
                environment: stored_environment(&row.application, &row.environment, &row.team)?,
                name: stored(&row.name)?,
            })
        })
        .collect()
}
