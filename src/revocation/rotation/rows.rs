//! Tasks and what they rest on, as they lie in the database.

use std::future::Future;

use crate::{
    access::{stored, stored_environment},
    audit::Work,
    base::{Result, SecretRef, Timestamp, ids::RotationTaskId},
    store::{Database, Query, Row, sql},
};

/// Something that answers queries: the database, or a transaction that is under way.
pub(super) trait Reads: Send {
    /// All rows.
    fn all<T: Row>(&mut self, query: Query) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// The first row, if there is one.
    fn first<T: Row>(&mut self, query: Query) -> impl Future<Output = Result<Option<T>>> + Send {
        async move { Ok(self.all(query).await?.into_iter().next()) }
    }
}

impl Reads for &Database {
    async fn all<T: Row>(&mut self, query: Query) -> Result<Vec<T>> {
        Ok(self.fetch_all(query).await?)
    }
}

impl Reads for &mut Work<'_> {
    async fn all<T: Row>(&mut self, query: Query) -> Result<Vec<T>> {
        self.fetch_all(query).await
    }
}

/// One secret of a task.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct PlaceRow {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) state: String,
    pub(super) opened_at: i64,
    pub(super) closed_at: Option<i64>,
}

/// The secrets of a task: its own, and those of the tasks that are one with it.
pub(super) fn places_query(task: &str) -> Query {
    sql("SELECT id, secret, state, opened_at, closed_at FROM rotation_tasks \
         WHERE id = $1 OR bundle = $1 ORDER BY opened_at, id")
    .bind(task)
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SecretRow {
    pub(super) id: String,
    application: String,
    environment: String,
    team: String,
    name: String,
    pub(super) latest_number: i64,
    /// Fingerprint and id of the current version, where there is a live one.
    pub(super) fingerprint: Option<Vec<u8>>,
    pub(super) version: Option<String>,
    /// The newest version, live or not.
    pub(super) newest: Option<String>,
}

impl SecretRow {
    pub(super) fn reference(&self) -> Result<SecretRef> {
        Ok(SecretRef {
            environment: stored_environment(&self.application, &self.environment, &self.team)?,
            name: stored(&self.name)?,
        })
    }
}

const SECRET: &str = "SELECT s.id, s.application, s.environment, s.team, s.name, s.latest_number, v.fingerprint, \
     v.id AS version, n.id AS newest FROM secrets s \
     LEFT JOIN versions v ON v.secret = s.id AND v.number = s.current_number AND v.state = 'live' \
     LEFT JOIN versions n ON n.secret = s.id AND n.number = s.latest_number ";

pub(super) fn secret_query(id: &str) -> Query {
    Query::composed(format!("{SECRET} WHERE s.id = $1"), Vec::new()).bind(id)
}

/// The secret of a name.
pub(super) fn named_query(at: &SecretRef) -> Query {
    let here = "WHERE s.application = $1 AND s.environment = $2 AND s.team = $3 AND s.name = $4";
    Query::composed(format!("{SECRET} {here}"), Vec::new())
        .bind(&at.environment.application)
        .bind(&at.environment.environment)
        .bind(at.environment.team_column())
        .bind(&at.name)
}

/// Which version of a secret is in which delivery.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct DeliveredRow {
    pub(super) delivery: String,
    pub(super) version: String,
    pub(super) fingerprint: Vec<u8>,
}

pub(super) fn delivered_query(secret: &str) -> Query {
    sql("SELECT d.delivery, d.version, v.fingerprint FROM delivered_versions d \
         JOIN versions v ON v.id = d.version WHERE d.secret = $1 ORDER BY d.delivery")
    .bind(secret)
}

/// A leaver who knows a value, and one scope under which she came to know it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct CauseRow {
    pub(super) person: String,
    pub(super) fingerprint: Vec<u8>,
    pub(super) since: i64,
    pub(super) scope: Option<String>,
}

pub(super) fn causes_query(task: &str) -> Query {
    sql("SELECT c.person, c.fingerprint, COALESCE(c.since, t.opened_at) AS since, e.scope \
         FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
         LEFT JOIN exposures e ON e.principal = c.person AND e.fingerprint = c.fingerprint \
         WHERE t.id = $1 OR t.bundle = $1 ORDER BY c.person")
    .bind(task)
}

/// A value that is too old.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct AgeRow {
    pub(super) fingerprint: Vec<u8>,
    pub(super) since: i64,
}

pub(super) fn ages_query(task: &str) -> Query {
    sql("SELECT a.fingerprint, a.since FROM rotation_tasks t JOIN rotation_ages a ON a.task = t.id \
         WHERE t.id = $1 OR t.bundle = $1")
    .bind(task)
}

/// A delivery that cannot be relied on.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct StateRow {
    pub(super) delivery: String,
    pub(super) state: String,
}

pub(super) fn states_query() -> Query {
    sql("SELECT delivery, state FROM delivery_states WHERE state IN ('foreign', 'unreachable')")
}

/// That the values before a version are worth nothing any more.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct EndRow {
    pub(super) version: String,
}

pub(super) fn end_query(place: &str) -> Query {
    sql("SELECT version FROM rotation_ends WHERE task = $1").bind(place)
}

/// A rotator that has failed and not worked since.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct FailureRow {
    pub(super) attempts: i64,
    pub(super) next_at: i64,
    pub(super) last_error: String,
}

pub(super) fn failure_query(secret: &str) -> Query {
    sql("SELECT attempts, next_at, last_error FROM rotator_failures WHERE secret = $1").bind(secret)
}

/// That a task may wait, asked for or agreed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Waiver {
    /// Its id, `wvr_…`.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Until when, in milliseconds since the epoch.
    pub until: i64,
    /// Who asked, `per_…`.
    pub asked_by: String,
    /// When, in milliseconds since the epoch.
    pub asked_at: i64,
    /// Who else agreed; nothing: nobody yet, and it has no effect.
    pub confirmed_by: Option<String>,
}

impl Waiver {
    /// Until when.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until)
    }
}

/// The waiver of a task that has not ended, agreed or not.
pub(super) fn waiver_query(task: &str) -> Query {
    sql("SELECT id, reason, until, asked_by, asked_at, confirmed_by FROM rotation_waivers \
         WHERE task = $1 AND ended_at IS NULL")
    .bind(task)
}

/// The first one of those that a task is one with.
pub(super) async fn lead_of(mut reads: impl Reads, task: RotationTaskId) -> Result<Option<String>> {
    let query = sql("SELECT COALESCE(bundle, id) AS lead FROM rotation_tasks WHERE id = $1").bind(task);
    Ok(reads.first::<(String,)>(query).await?.map(|(lead,)| lead))
}
