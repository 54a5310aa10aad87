//! That an old value is worth nothing at its target any more: what we cannot see, and somebody says.

use async_trait::async_trait;

use super::{
    Obstacle,
    close::check_version,
    facts::{PlaceFacts, TaskFacts},
    rows::lead_of,
    task::no_such,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result, SecretRef, ids::RotationTaskId},
    catalog::Snapshot,
    policy::{Action, Permit, Resource},
    store::sql,
};

/// Notes that somebody who may set the secret says so.
pub(super) struct Say {
    pub(super) permit: Permit,
    pub(super) task: RotationTaskId,
    pub(super) reason: String,
    pub(super) declared: std::sync::Arc<Snapshot>,
}

#[async_trait]
impl Unit for Say {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let at = self.secret()?;
        check_version(work, &self.declared).await?;
        if self.reason.trim().is_empty() {
            return Err(
                Problem::invalid("what makes you sure belongs into the log").remedy("Add --reason \"…\".")
            );
        }
        let lead = lead_of(&mut *work, self.task).await?.ok_or_else(|| no_such(self.task))?;
        let facts = TaskFacts::read(&mut *work, &lead).await?.filter(TaskFacts::is_open);
        let facts = facts.ok_or_else(|| Problem::conflict(format!("the task {} is closed", self.task)))?;
        let place = facts.places.iter().find(|place| place.at == at);
        let place =
            place.ok_or_else(|| Problem::not_found(format!("the task {lead} is not about '{at}'")))?;
        // What is plain to see is not for anybody to say.
        if facts.obstacles_at(&self.declared, place).contains(&Obstacle::Current) {
            return Err(Problem::conflict(format!("'{at}': {}", Obstacle::Current)));
        }
        end_old_value(work, place, &self.permit.principal().to_string()).await?;
        work.record(
            Draft::act("rotation.said-done")
                .secret(&at.environment, &at.name)
                .reason(&self.reason)
                .with("task", lead)
                .with("version", place.secret.version.clone()),
        );
        Ok(())
    }
}

impl Say {
    fn secret(&self) -> Result<SecretRef> {
        self.permit.expect(Action::Set)?;
        match self.permit.resource() {
            Resource::Secret(at, name) => Ok(SecretRef { environment: at.at.clone(), name: name.clone() }),
            _ => Err(Problem::internal("a permit to set a secret is for one")),
        }
    }
}

/// Notes that what came before the newest version is worth nothing any more.
pub(super) async fn end_old_value(work: &mut Work<'_>, place: &PlaceFacts, by: &str) -> Result<()> {
    let newest = place.secret.newest.as_deref();
    let newest = newest.ok_or_else(|| Problem::conflict(format!("'{}' never had a value", place.at)))?;
    work.execute(
        sql("INSERT INTO rotation_ends (task, version, said_by, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (task) DO UPDATE SET version = excluded.version, said_by = excluded.said_by, \
             at = excluded.at")
        .bind(&place.row.id)
        .bind(newest)
        .bind(by)
        .bind(work.now()),
    )
    .await?;
    Ok(())
}
