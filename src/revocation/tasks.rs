//! Rotation tasks: when one opens, what keeps it open, when it closes.
//!
//! A leaver knows a value when an exposure of hers has its fingerprint, whichever secret and version it
//! was an exposure of. The value is in use where it is a secret's current one or in a delivery. While a
//! known value is in use, the secret has an open task with her as a cause. The task closes when none of
//! its causes' values is in use and the current value is wherever files declare it. So an equal value
//! closes nothing, and going back to a known one opens a new task.

use crate::{
    access::{stored, stored_environment},
    audit::{Draft, Work},
    base::{
        Name, Problem, Result, SecretRef, Timestamp,
        ids::{PersonId, RotationTaskId, SecretId},
    },
    catalog::Snapshot,
    store::{Database, Query, sql},
};

/// What keeps a task open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The current value is one that a leaver knows.
    Current,
    /// A delivery still holds a value that a leaver knows, or one of a deleted secret.
    StillDelivered(String),
    /// A delivery does not have the current value yet.
    NotDelivered(Name),
    /// A delivery cannot be relied on, in this state.
    Stuck(Name, String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current => f.write_str("a leaver knows the current value; set another one"),
            Self::StillDelivered(delivery) => write!(f, "delivery '{delivery}' still holds an old value"),
            Self::NotDelivered(delivery) => {
                write!(f, "delivery '{delivery}' does not have the current value yet")
            }
            Self::Stuck(delivery, state) => write!(f, "delivery '{delivery}' is {state}"),
        }
    }
}

/// A rotation task as it stands.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id.
    pub id: RotationTaskId,
    /// Of which secret.
    pub secret: SecretRef,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when, where it is closed.
    pub closed_at: Option<Timestamp>,
    /// The leavers it is about, `per_…`.
    pub people: Vec<String>,
    /// What keeps it open; nothing for a closed one.
    pub waits_for: Vec<Obstacle>,
}

/// Leavers who know a value that is in use, without a task that says so; of one person, of one secret.
pub(super) fn to_open(person: Option<PersonId>, secret: Option<SecretId>) -> Query {
    sql("SELECT DISTINCT p.id AS person, s.id AS thing, e.fingerprint AS fingerprint FROM people p \
         JOIN exposures e ON e.principal = p.id \
         JOIN versions v ON v.fingerprint = e.fingerprint \
         JOIN secrets s ON s.id = v.secret \
         WHERE p.status = 'deactivated' AND p.id = COALESCE($1, p.id) AND s.id = COALESCE($2, s.id) \
         AND ((v.number = s.current_number AND v.state = 'live') OR EXISTS \
             (SELECT 1 FROM delivered_versions d WHERE d.secret = s.id AND d.version = v.id)) \
         AND NOT EXISTS (SELECT 1 FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
             WHERE t.secret = s.id AND t.state = 'open' AND c.person = p.id AND c.fingerprint = e.fingerprint) \
         LIMIT 256")
    .bind(person)
    .bind(secret)
}

/// A leaver, a secret, a value.
#[derive(sqlx::FromRow)]
struct Known {
    fingerprint: Vec<u8>,
}

#[derive(Debug, sqlx::FromRow)]
struct SecretRow {
    id: String,
    application: String,
    environment: String,
    team: String,
    name: String,
    /// Fingerprint and id of the current version, where there is a live one.
    fingerprint: Option<Vec<u8>>,
    version: Option<String>,
}

impl SecretRow {
    fn reference(&self) -> Result<SecretRef> {
        Ok(SecretRef {
            environment: stored_environment(&self.application, &self.environment, &self.team)?,
            name: stored(&self.name)?,
        })
    }
}

fn secret_query(id: &str) -> Query {
    sql("SELECT s.id, s.application, s.environment, s.team, s.name, v.fingerprint, v.id AS version \
         FROM secrets s LEFT JOIN versions v ON v.secret = s.id AND v.number = s.current_number AND v.state = 'live' \
         WHERE s.id = $1")
    .bind(id)
}

/// Opens a task for the secret, or adds a cause to the open one, if that is still to be done.
pub(super) async fn open(
    work: &mut Work<'_>,
    person: PersonId,
    secret: SecretId,
    fingerprint: &[u8],
) -> Result<()> {
    let known: Vec<Known> = work.fetch_all(to_open(Some(person), Some(secret))).await?;
    if !known.iter().any(|known| known.fingerprint == fingerprint) {
        return Err(Problem::conflict(format!(
            "the task of {secret} for {person} is there, or no longer needed"
        )));
    }
    let row: Option<SecretRow> = work.fetch_optional(secret_query(&secret.to_string())).await?;
    let at = row.ok_or_else(|| Problem::not_found(format!("there is no secret {secret}")))?.reference()?;
    let (task, is_new) = open_task(work, secret).await?;
    work.execute(
        sql("INSERT INTO rotation_causes (task, person, fingerprint) VALUES ($1, $2, $3)")
            .bind(task)
            .bind(person)
            .bind(fingerprint),
    )
    .await?;
    work.execute(
        sql("UPDATE leavers SET closed_at = NULL WHERE person = $1 AND closed_at IS NOT NULL").bind(person),
    )
    .await?;
    work.record(
        Draft::act(if is_new { "rotation.opened" } else { "rotation.cause-added" })
            .subject(person)
            .secret(&at.environment, &at.name)
            .with("task", task.to_string()),
    );
    Ok(())
}

async fn open_task(work: &mut Work<'_>, secret: SecretId) -> Result<(RotationTaskId, bool)> {
    let found: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM rotation_tasks WHERE secret = $1 AND state = 'open'").bind(secret),
        )
        .await?;
    if let Some((id,)) = found {
        return Ok((stored(&id)?, false));
    }
    let id: RotationTaskId = work.ambient().id();
    work.execute(
        sql("INSERT INTO rotation_tasks (id, secret, state, opened_at) VALUES ($1, $2, 'open', $3)")
            .bind(id)
            .bind(secret)
            .bind(work.now()),
    )
    .await?;
    Ok((id, true))
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct DeliveredRow {
    delivery: String,
    version: String,
    fingerprint: Vec<u8>,
}

#[derive(Debug, sqlx::FromRow)]
struct CauseRow {
    person: String,
    fingerprint: Vec<u8>,
}

#[derive(Debug, sqlx::FromRow)]
struct StateRow {
    delivery: String,
    state: String,
}

/// Everything that decides whether a task can close.
#[derive(Debug)]
struct TaskFacts {
    secret: SecretRow,
    causes: Vec<CauseRow>,
    delivered: Vec<DeliveredRow>,
    states: Vec<StateRow>,
}

fn causes_query(task: &str) -> Query {
    sql("SELECT person, fingerprint FROM rotation_causes WHERE task = $1 ORDER BY person").bind(task)
}

fn delivered_query(secret: &str) -> Query {
    sql("SELECT d.delivery, d.version, v.fingerprint FROM delivered_versions d \
         JOIN versions v ON v.id = d.version WHERE d.secret = $1 ORDER BY d.delivery")
    .bind(secret)
}

fn states_query() -> Query {
    sql("SELECT delivery, state FROM delivery_states WHERE state IN ('foreign', 'unreachable')")
}

impl TaskFacts {
    /// What stands in the way of closing, by what files declare.
    fn obstacles(&self, declared: &Snapshot) -> Result<Vec<Obstacle>> {
        let is_known = |fingerprint: &[u8]| self.causes.iter().any(|cause| cause.fingerprint == fingerprint);
        let mut found = Vec::new();
        if self.secret.fingerprint.as_deref().is_some_and(is_known) {
            found.push(Obstacle::Current);
        }
        let deleted = self.secret.version.is_none();
        let held = self.delivered.iter().filter(|row| deleted || is_known(&row.fingerprint));
        found.extend(held.map(|row| Obstacle::StillDelivered(row.delivery.clone())));
        if let Some(version) = &self.secret.version {
            for delivery in deliveries_of(declared, &self.secret.reference()?) {
                found.extend(self.obstacle_at(&delivery, version));
            }
        }
        Ok(found)
    }

    fn obstacle_at(&self, delivery: &Name, version: &str) -> Option<Obstacle> {
        if let Some(row) = self.states.iter().find(|row| row.delivery == delivery.as_str()) {
            return Some(Obstacle::Stuck(delivery.clone(), row.state.clone()));
        }
        let has_it =
            self.delivered.iter().any(|row| row.delivery == delivery.as_str() && row.version == version);
        (!has_it).then(|| Obstacle::NotDelivered(delivery.clone()))
    }
}

/// The deliveries that files declare for a secret: those of its environment, and those of every
/// environment that it is shared with.
fn deliveries_of(declared: &Snapshot, secret: &SecretRef) -> Vec<Name> {
    declared
        .delivery_list()
        .filter(|delivery| {
            delivery.at() == secret.environment
                || declared.shares_into(&delivery.application, &delivery.environment).contains(secret)
        })
        .map(|delivery| delivery.name.clone())
        .collect()
}

#[derive(sqlx::FromRow)]
struct TaskRow {
    id: String,
    secret: String,
    opened_at: i64,
    closed_at: Option<i64>,
}

/// Closes a task if nothing stands in its way now.
pub(super) async fn close(work: &mut Work<'_>, declared: &Snapshot, task: RotationTaskId) -> Result<()> {
    check_version(work, declared).await?;
    let row: Option<TaskRow> = work
        .fetch_optional(
            sql("SELECT id, secret, opened_at, closed_at FROM rotation_tasks WHERE id = $1 AND state = 'open'")
                .bind(task),
        )
        .await?;
    let row = row.ok_or_else(|| Problem::conflict(format!("the task {task} is closed")))?;
    let secret: Option<SecretRow> = work.fetch_optional(secret_query(&row.secret)).await?;
    let facts = TaskFacts {
        secret: secret.ok_or_else(|| Problem::internal(format!("the task {task} has lost its secret")))?,
        causes: work.fetch_all(causes_query(&row.id)).await?,
        delivered: work.fetch_all(delivered_query(&row.secret)).await?,
        states: work.fetch_all(states_query()).await?,
    };
    if let Some(obstacle) = facts.obstacles(declared)?.first() {
        return Err(Problem::conflict(format!("the task {task} stays open: {obstacle}")));
    }
    work.execute(
        sql("UPDATE rotation_tasks SET state = 'closed', closed_at = $2 WHERE id = $1")
            .bind(task)
            .bind(work.now()),
    )
    .await?;
    record_closed(work, task, &facts)
}

/// One entry for each leaver, so that the log of each has it.
fn record_closed(work: &mut Work<'_>, task: RotationTaskId, facts: &TaskFacts) -> Result<()> {
    let at = facts.secret.reference()?;
    let mut people: Vec<&str> = facts.causes.iter().map(|cause| cause.person.as_str()).collect();
    people.dedup();
    for person in people {
        work.record(
            Draft::act("rotation.closed")
                .subject(stored(person)?)
                .secret(&at.environment, &at.name)
                .with("task", task.to_string())
                .with("version", facts.secret.version.clone()),
        );
    }
    Ok(())
}

async fn check_version(work: &mut Work<'_>, declared: &Snapshot) -> Result<()> {
    let found: Option<(i64,)> = work.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
    if found.is_some_and(|(version,)| version == declared.version) {
        return Ok(());
    }
    Err(Problem::conflict("what files declare has changed meanwhile"))
}

/// Tasks in a state, of a leaver, or all: the newest first, 500 at most.
pub(super) async fn list(
    database: &Database,
    declared: &Snapshot,
    state: Option<&str>,
    of: Option<PersonId>,
) -> Result<Vec<Task>> {
    let rows: Vec<TaskRow> = database
        .fetch_all(
            sql("SELECT id, secret, opened_at, closed_at FROM rotation_tasks t WHERE t.state = COALESCE($1, t.state) \
                 AND (CAST($2 AS TEXT) IS NULL OR EXISTS \
                     (SELECT 1 FROM rotation_causes c WHERE c.task = t.id AND c.person = $2)) \
                 ORDER BY t.opened_at DESC, t.id DESC LIMIT 500")
            .bind(state)
            .bind(of),
        )
        .await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        tasks.push(describe(database, declared, row).await?);
    }
    Ok(tasks)
}

/// Open tasks that nothing seems to stand in the way of.
pub(super) async fn closable(database: &Database, declared: &Snapshot) -> Result<Vec<RotationTaskId>> {
    let open: Vec<TaskRow> = database
        .fetch_all(sql("SELECT id, secret, opened_at, closed_at FROM rotation_tasks WHERE state = 'open'"))
        .await?;
    let mut found = Vec::new();
    for row in open {
        let task = describe(database, declared, row).await?;
        if task.waits_for.is_empty() {
            found.push(task.id);
        }
    }
    Ok(found)
}

async fn describe(database: &Database, declared: &Snapshot, row: TaskRow) -> Result<Task> {
    let secret: Option<SecretRow> = database.fetch_optional(secret_query(&row.secret)).await?;
    let secret =
        secret.ok_or_else(|| Problem::internal(format!("the task {} has lost its secret", row.id)))?;
    let facts = TaskFacts {
        delivered: database.fetch_all(delivered_query(&secret.id)).await?,
        secret,
        causes: database.fetch_all(causes_query(&row.id)).await?,
        states: database.fetch_all(states_query()).await?,
    };
    let mut people: Vec<String> = facts.causes.iter().map(|cause| cause.person.clone()).collect();
    people.dedup();
    Ok(Task {
        id: stored(&row.id)?,
        secret: facts.secret.reference()?,
        opened_at: Timestamp::from_millis(row.opened_at),
        closed_at: row.closed_at.map(Timestamp::from_millis),
        people,
        waits_for: if row.closed_at.is_some() { Vec::new() } else { facts.obstacles(declared)? },
    })
}
