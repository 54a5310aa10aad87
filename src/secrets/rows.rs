//! Secrets and versions as they lie in the database.

use crate::{
    audit::Work,
    base::{
        EnvironmentRef, Problem, Result, SecretName, SecretRef,
        ids::{SecretId, VersionId},
    },
    store::{Database, Query, sql},
};

/// A secret.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SecretRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) current_number: Option<i64>,
    pub(super) latest_number: i64,
}

/// A version.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct VersionRow {
    pub(super) id: String,
    pub(super) number: i64,
    pub(super) fingerprint: Vec<u8>,
    pub(super) state: String,
    pub(super) engine_version: Option<i64>,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) wrapped_key: Option<Vec<u8>>,
    pub(super) master_key: Option<String>,
}

/// What a version can be.
pub(super) const LIVE: &str = "live";
pub(super) const DELETED: &str = "deleted";
pub(super) const DESTROYED: &str = "destroyed";

impl SecretRow {
    pub(super) fn id(&self) -> Result<SecretId> {
        self.id.parse().map_err(|_| unreadable())
    }

    pub(super) fn name(&self) -> Result<SecretName> {
        self.name.parse().map_err(|_| unreadable())
    }
}

impl VersionRow {
    pub(super) fn id(&self) -> Result<VersionId> {
        self.id.parse().map_err(|_| unreadable())
    }

    /// Refuses one whose value is not there any more.
    pub(super) fn expect_live(&self, at: &SecretRef) -> Result<()> {
        let remedy = match self.state.as_str() {
            LIVE => return Ok(()),
            DELETED => format!("`portctl secret undelete {at} --version {}` brings it back.", self.number),
            _ => "Its value is gone for good.".to_owned(),
        };
        Err(Problem::not_found(format!("version {} of '{at}' is {}", self.number, self.state)).remedy(remedy))
    }
}

fn unreadable() -> Problem {
    Problem::internal("a stored secret cannot be read")
}

pub(super) fn secret_query(at: &SecretRef) -> Query {
    sql("SELECT id, name, current_number, latest_number FROM secrets \
         WHERE application = $1 AND environment = $2 AND team = $3 AND name = $4")
    .bind(&at.environment.application)
    .bind(&at.environment.environment)
    .bind(at.environment.team_column())
    .bind(&at.name)
}

pub(super) fn secrets_query(at: &EnvironmentRef) -> Query {
    sql("SELECT id, name, current_number, latest_number FROM secrets \
         WHERE application = $1 AND environment = $2 AND team = $3 ORDER BY name")
    .bind(&at.application)
    .bind(&at.environment)
    .bind(at.team_column())
}

pub(super) fn version_query(secret: SecretId, number: i64) -> Query {
    sql("SELECT id, number, fingerprint, state, engine_version, sealed, wrapped_key, \
         master_key FROM versions WHERE secret = $1 AND number = $2")
    .bind(secret)
    .bind(number)
}

pub(super) async fn secret(database: &Database, at: &SecretRef) -> Result<Option<SecretRow>> {
    Ok(database.fetch_optional(secret_query(at)).await?)
}

pub(super) async fn secret_in(work: &mut Work<'_>, at: &SecretRef) -> Result<Option<SecretRow>> {
    work.fetch_optional(secret_query(at)).await
}

pub(super) async fn version(
    database: &Database,
    secret: SecretId,
    number: i64,
) -> Result<Option<VersionRow>> {
    Ok(database.fetch_optional(version_query(secret, number)).await?)
}

pub(super) async fn version_in(
    work: &mut Work<'_>,
    secret: SecretId,
    number: i64,
) -> Result<Option<VersionRow>> {
    work.fetch_optional(version_query(secret, number)).await
}

/// The secret's row; made where there is none yet.
pub(super) async fn secret_or_new(
    work: &mut Work<'_>,
    at: &SecretRef,
    engine: &str,
    location: Option<&str>,
) -> Result<SecretRow> {
    if let Some(row) = secret_in(work, at).await? {
        return Ok(row);
    }
    let (id, now) = (work.ambient().id::<SecretId>(), work.now());
    work.execute(
        sql(
            "INSERT INTO secrets (id, application, environment, team, name, engine, location, latest_number, \
             changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)",
        )
        .bind(id)
        .bind(&at.environment.application)
        .bind(&at.environment.environment)
        .bind(at.environment.team_column())
        .bind(&at.name)
        .bind(engine)
        .bind(location)
        .bind(now),
    )
    .await?;
    secret_in(work, at).await?.ok_or_else(|| Problem::internal("a secret that was just made is not there"))
}

/// A version that is to be written.
pub(super) struct NewVersion<'a> {
    pub(super) fingerprint: [u8; 32],
    pub(super) origin: &'a str,
    pub(super) by: &'a str,
    pub(super) engine_version: Option<i64>,
    pub(super) sealed: Option<super::embedded::SealedValue>,
}

/// Writes the next version and makes it the current one. Its id and number.
pub(super) async fn add_version(
    work: &mut Work<'_>,
    secret: &SecretRow,
    new: NewVersion<'_>,
) -> Result<(VersionId, i64)> {
    let (id, number, now) = (work.ambient().id::<VersionId>(), secret.latest_number + 1, work.now());
    let (sealed, wrapped, under) = match new.sealed {
        Some(it) => (Some(it.sealed), Some(it.wrapped.bytes), Some(it.wrapped.under)),
        None => (None, None, None),
    };
    work.execute(
        sql("INSERT INTO versions (id, secret, number, fingerprint, state, origin, created_at, created_by, \
             engine_version, sealed, wrapped_key, master_key) \
             VALUES ($1, $2, $3, $4, 'live', $5, $6, $7, $8, $9, $10, $11)")
        .bind(id)
        .bind(secret.id.as_str())
        .bind(number)
        .bind(new.fingerprint)
        .bind(new.origin)
        .bind(now)
        .bind(new.by)
        .bind(new.engine_version)
        .bind(sealed)
        .bind(wrapped)
        .bind(under),
    )
    .await?;
    let moved = work
        .execute(
            sql("UPDATE secrets SET current_number = $2, latest_number = $2, changed_at = $3 \
                 WHERE id = $1 AND latest_number = $4")
            .bind(secret.id.as_str())
            .bind(number)
            .bind(now)
            .bind(secret.latest_number),
        )
        .await?;
    if moved == 1 { Ok((id, number)) } else { Err(Problem::internal("a secret's versions moved underneath")) }
}
