//! Opening tasks, and adding causes to open ones.
//!
//! A leaver knows a value when an exposure of hers has its fingerprint, whichever secret and version it
//! was an exposure of. The value is in use where it is a secret's current one or in a delivery. While a
//! known value is in use, the secret has an open task with her as a cause; secrets with one value behind
//! their tasks have one task together.

use super::{
    Lenient, reopen_leaver,
    rows::{SecretRow, secret_query},
    waive::end_waivers_of_open,
};
use crate::{
    access::stored,
    audit::{Draft, Work},
    base::{
        Problem, Result, SecretRef,
        ids::{PersonId, RotationTaskId, SecretId},
    },
    catalog::Snapshot,
    store::{Query, sql},
};

/// Leavers who know a value that is in use, without a task that says so; of one person, of one secret.
pub(in crate::revocation) fn to_open(
    person: Option<PersonId>,
    secret: Option<SecretId>,
    declared: &Snapshot,
) -> Query {
    sql("SELECT DISTINCT p.id AS person, s.id AS thing, e.fingerprint AS fingerprint FROM people p \
         JOIN exposures e ON e.principal = p.id \
         JOIN versions v ON v.fingerprint = e.fingerprint \
         JOIN secrets s ON s.id = v.secret \
         WHERE p.status = 'deactivated' AND p.id = COALESCE($1, p.id) AND s.id = COALESCE($2, s.id) \
         AND (e.scope IS NULL OR $3 NOT LIKE '%,' || e.scope || ',%') \
         AND ((v.number = s.current_number AND v.state = 'live') OR EXISTS \
             (SELECT 1 FROM delivered_versions d WHERE d.secret = s.id AND d.version = v.id)) \
         AND NOT EXISTS (SELECT 1 FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
             WHERE t.secret = s.id AND t.state = 'open' AND c.person = p.id AND c.fingerprint = e.fingerprint) \
         LIMIT 256")
    .bind(person)
    .bind(secret)
    .bind(Lenient::of(declared).ignoring)
}

/// A leaver, a secret, a value.
#[derive(sqlx::FromRow)]
struct Known {
    fingerprint: Vec<u8>,
}

/// Opens a task for the secret, or adds a cause to the open one, if that is still to be done.
pub(in crate::revocation) async fn open(
    work: &mut Work<'_>,
    declared: &Snapshot,
    person: PersonId,
    secret: SecretId,
    fingerprint: &[u8],
) -> Result<()> {
    let known: Vec<Known> = work.fetch_all(to_open(Some(person), Some(secret), declared)).await?;
    if !known.iter().any(|known| known.fingerprint == fingerprint) {
        return Err(Problem::conflict(format!(
            "the task of {secret} for {person} is there, or no longer needed"
        )));
    }
    let at = reference(work, secret).await?;
    let opened = open_task(work, secret).await?;
    work.execute(
        sql("INSERT INTO rotation_causes (task, person, fingerprint, since) VALUES ($1, $2, $3, $4)")
            .bind(opened.place)
            .bind(person)
            .bind(fingerprint)
            .bind(work.now()),
    )
    .await?;
    let lead = join_equals(work, fingerprint).await?;
    reopen_leaver(work, person).await?;
    work.record(opened.draft(&at, &lead).subject(person));
    Ok(())
}

/// The task of a secret, and whether it is new.
pub(super) struct Opened {
    pub(super) place: RotationTaskId,
    is_new: bool,
}

impl Opened {
    /// The entry. `lead` is the task that it is part of.
    pub(super) fn draft(&self, at: &SecretRef, lead: &str) -> Draft {
        Draft::act(if self.is_new { "rotation.opened" } else { "rotation.cause-added" })
            .secret(&at.environment, &at.name)
            .with("task", lead)
    }
}

pub(super) async fn reference(work: &mut Work<'_>, secret: SecretId) -> Result<SecretRef> {
    let row: Option<SecretRow> = work.fetch_optional(secret_query(&secret.to_string())).await?;
    row.ok_or_else(|| Problem::not_found(format!("there is no secret {secret}")))?.reference()
}

/// The open task of a secret, made where there is none.
pub(super) async fn open_task(work: &mut Work<'_>, secret: SecretId) -> Result<Opened> {
    let found: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM rotation_tasks WHERE secret = $1 AND state = 'open'").bind(secret),
        )
        .await?;
    if let Some((id,)) = found {
        return Ok(Opened { place: stored(&id)?, is_new: false });
    }
    let id: RotationTaskId = work.ambient().id();
    work.execute(
        sql("INSERT INTO rotation_tasks (id, secret, state, opened_at) VALUES ($1, $2, 'open', $3)")
            .bind(id)
            .bind(secret)
            .bind(work.now()),
    )
    .await?;
    Ok(Opened { place: id, is_new: true })
}

/// Makes all open tasks one that are about this value, under the first of them, which is the answer. What
/// was agreed about any of them was agreed without the newest cause, and ends.
pub(super) async fn join_equals(work: &mut Work<'_>, fingerprint: &[u8]) -> Result<String> {
    let leads: Vec<(String,)> = work
        .fetch_all(
            sql("SELECT DISTINCT COALESCE(t.bundle, t.id) AS lead FROM rotation_tasks t WHERE t.state = 'open' AND \
                 (EXISTS (SELECT 1 FROM rotation_causes c WHERE c.task = t.id AND c.fingerprint = $1) OR \
                  EXISTS (SELECT 1 FROM rotation_ages a WHERE a.task = t.id AND a.fingerprint = $1)) ORDER BY 1")
            .bind(fingerprint),
        )
        .await?;
    let (first, others) =
        leads.split_first().ok_or_else(|| Problem::internal("a cause that was just noted is not there"))?;
    end_waivers_of_open(work, &first.0, "another cause").await?;
    for (other,) in others {
        end_waivers_of_open(work, other, "another cause").await?;
        work.execute(
            sql("UPDATE rotation_tasks SET bundle = $1 WHERE id = $2 OR bundle = $2")
                .bind(&first.0)
                .bind(other),
        )
        .await?;
    }
    Ok(first.0.clone())
}
