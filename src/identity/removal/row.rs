//! The rows that removals are made of.

use super::Source;
use crate::{
    audit::Work,
    base::{
        Problem, Result,
        ids::{ExpectationId, PersonId, RemovalBatchId, RemovalId},
    },
    policy::PersonStatus,
    store::sql,
};

/// How somebody stands.
#[derive(Clone, Debug)]
pub(in crate::identity) struct PersonStanding {
    /// Whether anything works for her.
    pub(in crate::identity) status: PersonStatus,
    /// Who or what suspended or deactivated her.
    pub(in crate::identity) cause: Option<String>,
}

impl PersonStanding {
    /// Leaves a suspension by `cause` itself out of account.
    pub(super) fn forget_own(&mut self, cause: &str) {
        if self.status == PersonStatus::Suspended && self.cause.as_deref() == Some(cause) {
            (self.status, self.cause) = (PersonStatus::Active, None);
        }
    }
}

/// How `person` stands now.
pub(in crate::identity) async fn standing(work: &mut Work<'_>, person: PersonId) -> Result<PersonStanding> {
    let row: Option<(String, Option<String>)> = work
        .fetch_optional(sql("SELECT status, status_cause FROM people WHERE id = $1").bind(person))
        .await?;
    let (status, cause) = row.ok_or_else(|| {
        Problem::not_found(format!("nobody here is {person}"))
            .remedy("`portctl person list` shows everybody.")
    })?;
    Ok(PersonStanding { status: PersonStatus::from_stored(&status), cause })
}

/// Writes what she is now, because of whom, since now.
pub(super) async fn set_status(
    work: &mut Work<'_>,
    person: PersonId,
    status: PersonStatus,
    cause: Option<&str>,
) -> Result<()> {
    work.execute(
        sql("UPDATE people SET status = $2, status_cause = $3, status_since = $4 WHERE id = $1")
            .bind(person)
            .bind(status.as_str())
            .bind(cause.map(str::to_owned))
            .bind(work.now()),
    )
    .await?;
    Ok(())
}

/// That a connection removes somebody.
pub(super) struct NewRemoval<'a> {
    pub(super) person: PersonId,
    pub(super) source: &'a Source,
    pub(super) was: &'a PersonStanding,
    pub(super) expected: Option<ExpectationId>,
    /// What it is held with, where it is.
    pub(super) batch: Option<RemovalBatchId>,
}

impl NewRemoval<'_> {
    pub(super) async fn insert(&self, work: &mut Work<'_>) -> Result<()> {
        let id: RemovalId = work.ambient().id();
        work.execute(
            sql("INSERT INTO removals (id, person, connection, at, state, was_status, was_cause, expected, batch) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(id)
            .bind(self.person)
            .bind(&self.source.connection)
            .bind(work.now())
            .bind(if self.batch.is_some() { "held" } else { "done" })
            .bind(self.was.status.as_str())
            .bind(self.was.cause.clone())
            .bind(self.expected)
            .bind(self.batch),
        )
        .await?;
        Ok(())
    }
}
