//! Rotators outside, which are asked for a new value by a signed message and set it as anybody would.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{Obstacle, facts::TaskFacts, task::demand};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result, SecretRef},
    catalog::Snapshot,
    notify::Outbox,
    policy::{Action, Permit},
    store::sql,
};

/// Asks once for each value that should go.
pub(super) struct AskFor {
    pub(super) permit: Permit,
    pub(super) at: SecretRef,
    pub(super) lead: String,
    pub(super) rotator: Name,
    pub(super) outbox: Outbox,
    pub(super) declared: Arc<Snapshot>,
}

#[async_trait]
impl Unit for AskFor {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Rotate)?;
        let facts = TaskFacts::read(&mut *work, &self.lead).await?.filter(TaskFacts::is_open);
        let facts = facts.ok_or_else(|| Problem::conflict("the task is closed"))?;
        let place = facts.places.iter().find(|place| place.at == self.at);
        let place = place.ok_or_else(|| Problem::conflict("the task is about another secret now"))?;
        if !facts.obstacles_at(&self.declared, place).contains(&Obstacle::Current) {
            return Err(Problem::conflict(format!("'{}' has a new value", self.at)));
        }
        let version = place.secret.version.clone().unwrap_or_default();
        let asked: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT rotator FROM rotation_asks WHERE task = $1 AND version = $2")
                    .bind(&place.row.id)
                    .bind(&version),
            )
            .await?;
        if asked.is_some() {
            return Err(Problem::conflict(format!("somebody is asked for a value of '{}'", self.at)));
        }
        work.execute(
            sql("INSERT INTO rotation_asks (task, version, rotator, at) VALUES ($1, $2, $3, $4)")
                .bind(&place.row.id)
                .bind(&version)
                .bind(&self.rotator)
                .bind(work.now()),
        )
        .await?;
        let (_, due_at) = demand(&self.declared, &facts);
        let message = json!({
            "task": self.lead,
            "secret": self.at.to_string(),
            "due_at": due_at.to_string(),
        });
        self.outbox.enqueue(work, "rotation.wanted", &message).await?;
        work.record(
            Draft::act("rotation.asked")
                .secret(&self.at.environment, &self.at.name)
                .with("task", self.lead.as_str())
                .with("rotator", self.rotator.as_str()),
        );
        Ok(())
    }
}
