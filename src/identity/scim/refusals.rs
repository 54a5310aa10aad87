//! What was refused, kept for whoever can mend the identity provider: nothing that matters is passed over
//! in silence.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Connection, Scim, Speaker};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, ProblemKind, Result, Timestamp},
    notify::Outbox,
    policy::{Action, Permit},
    store::sql,
};

/// How many are kept of each connection.
const KEPT: i64 = 200;
/// Within this time, in milliseconds, the same refusal is counted and not told again.
const AGAIN: i64 = 10 * 60 * 1000;

/// What was tried.
pub struct Attempt {
    /// Method and kind of resource.
    pub operation: &'static str,
    /// Which resource: its id, or its name where it has none yet.
    pub resource: String,
    /// Whether it is about who works here or who is in a group: then somebody is told.
    pub matters: bool,
}

/// An operation that was refused.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Refusal {
    /// Method and kind of resource.
    pub operation: String,
    /// Which resource.
    pub resource: String,
    /// Why.
    pub detail: String,
    /// When it was first refused, in milliseconds.
    pub at: i64,
    /// How often.
    pub times: i64,
    /// When it was last refused, in milliseconds.
    pub last_at: i64,
}

impl Scim {
    /// The outcome, once it is noted where it is a refusal.
    pub(super) async fn noted<T>(
        &self,
        speaker: &Speaker,
        attempt: &Attempt,
        outcome: Result<T>,
    ) -> Result<T> {
        let problem = match outcome {
            Err(problem) if is_a_refusal(&problem) => problem,
            outcome => return outcome,
        };
        if let Err(error) = self.note(speaker, attempt, &problem).await {
            tracing::warn!(%error, operation = attempt.operation, "a refusal could not be noted");
        }
        Err(problem)
    }

    async fn note(&self, speaker: &Speaker, attempt: &Attempt, problem: &Problem) -> Result<()> {
        let now = self.parts().ambient.now();
        let again = self
            .parts()
            .database
            .write_unrecorded(
                "scim_refusals",
                sql("UPDATE scim_refusals SET times = times + 1, last_at = $5 WHERE connection = $1 \
                     AND operation = $2 AND resource = $3 AND detail = $4 AND last_at > $6")
                .bind(&speaker.connection.name)
                .bind(attempt.operation)
                .bind(plain(&attempt.resource))
                .bind(plain(&problem.detail))
                .bind(now)
                .bind(now.as_millis() - AGAIN),
            )
            .await?;
        if again > 0 {
            return Ok(());
        }
        self.act(speaker, Action::Provision, |permit, connection| {
            self.parts().log.perform(Note {
                permit,
                connection,
                operation: attempt.operation,
                resource: plain(&attempt.resource),
                detail: plain(&problem.detail),
                // Whoever is told that an administrator stays need not be told twice.
                is_told: attempt.matters && !problem.more.contains_key("kept"),
                outbox: self.parts().outbox.clone(),
            })
        })
        .await
    }

    /// What was refused to a connection, the newest first.
    ///
    /// # Errors
    /// A problem of the database.
    pub(super) async fn refusals(&self, connection: &Name) -> Result<Vec<Refusal>> {
        Ok(self
            .parts()
            .database
            .fetch_all(
                sql("SELECT operation, resource, detail, at, times, last_at FROM scim_refusals \
                     WHERE connection = $1 ORDER BY last_at DESC, id DESC LIMIT 200")
                .bind(connection),
            )
            .await?)
    }
}

/// What the caller did wrong; what went wrong here, or is recorded as a denial, is not one.
pub(super) fn is_a_refusal(problem: &Problem) -> bool {
    let status = problem.kind.status();
    let is_recorded = problem.is(ProblemKind::Denied) && problem.more.contains_key("reason");
    (400..500).contains(&status) && status != 401 && status != 429 && !is_recorded
}

/// As much of a text as is kept.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

struct Note {
    permit: Permit,
    connection: Arc<Connection>,
    operation: &'static str,
    resource: String,
    detail: String,
    is_told: bool,
    outbox: Outbox,
}

#[async_trait]
impl Unit for Note {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let now: Timestamp = work.now();
        let id = work.ambient().uuid().to_string();
        work.execute(
            sql(
                "INSERT INTO scim_refusals (id, connection, at, operation, resource, detail, times, last_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, 1, $3)",
            )
            .bind(id)
            .bind(&self.connection.name)
            .bind(now)
            .bind(self.operation)
            .bind(&self.resource)
            .bind(&self.detail),
        )
        .await?;
        work.execute(
            sql("DELETE FROM scim_refusals WHERE connection = $1 AND id NOT IN \
                 (SELECT id FROM scim_refusals WHERE connection = $1 ORDER BY last_at DESC, id DESC LIMIT $2)")
            .bind(&self.connection.name)
            .bind(KEPT),
        )
        .await?;
        let draft = Draft::refused("scim.refused")
            .resource(format!("connection/{}", self.connection.name))
            .with("operation", self.operation)
            .with("denial", self.detail.as_str());
        // A name of somebody who is nobody here yet could not be forgotten in the log.
        let is_new = self.operation.starts_with("POST");
        work.record(if is_new { draft } else { draft.with("what", self.resource.as_str()) });
        if self.is_told {
            let told = serde_json::json!({
                "connection": self.connection.name, "operation": self.operation,
                "resource": self.resource, "because": self.detail,
            });
            self.outbox.enqueue(work, "scim.refused", &told).await?;
        }
        Ok(())
    }
}
