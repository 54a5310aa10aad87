//! That a task may wait: one person asks, another one agrees, and it ends by itself.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    close::record,
    facts::TaskFacts,
    rows::{Waiver, waiver_query},
    task::no_such,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, ProblemKind, Result, Timestamp,
        ids::{RotationTaskId, WaiverId},
    },
    policy::{Action, Permit, Resource},
    store::sql,
};

/// The longest that a task may wait at a time.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// What is done about a waiver.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It is asked for.
    Ask { reason: String, until: Timestamp },
    /// Somebody else agrees.
    Confirm(WaiverId),
    /// It is taken back.
    End { reason: String },
}

/// Does it, for a person who may.
pub(super) struct Waive {
    pub(super) permit: Permit,
    pub(super) step: Step,
}

#[async_trait]
impl Unit for Waive {
    type Output = RotationTaskId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<RotationTaskId> {
        let Resource::Waiver { task, .. } = self.permit.resource() else {
            return Err(Problem::internal("a permit to waive a rotation is for a waiver"));
        };
        let lead = task.to_string();
        let facts = TaskFacts::read(&mut *work, &lead).await?.ok_or_else(|| no_such(*task))?;
        if !facts.is_open() {
            return Err(Problem::conflict(format!("the task {task} is closed")));
        }
        // Somebody may have become one of its leavers since this was decided.
        if self.permit.person().is_some_and(|it| facts.causes.iter().any(|c| c.person == it.to_string())) {
            return Err(Problem::new(ProblemKind::FactsChanged, "the task has come to be about you"));
        }
        match &self.step {
            Step::Ask { reason, until } => self.ask(work, &facts, &lead, reason, *until).await?,
            Step::Confirm(waiver) => self.confirm(work, &facts, *waiver).await?,
            Step::End { reason } => self.end(work, &facts, &lead, reason).await?,
        }
        Ok(*task)
    }
}

impl Waive {
    async fn ask(
        &self,
        work: &mut Work<'_>,
        facts: &TaskFacts,
        lead: &str,
        reason: &str,
        until: Timestamp,
    ) -> Result<()> {
        check_wish(reason, until, work.now())?;
        if let Some(waiver) = &facts.waiver {
            return Err(Problem::conflict(format!("the waiver {} stands already", waiver.id))
                .remedy(format!("Confirm it, or take it back: `portctl rotation unwaive {lead}`.")));
        }
        let id: WaiverId = work.ambient().id();
        work.execute(
            sql("INSERT INTO rotation_waivers (id, task, reason, until, asked_by, asked_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(id)
            .bind(lead)
            .bind(reason)
            .bind(until)
            .bind(self.permit.principal().to_string())
            .bind(work.now()),
        )
        .await?;
        let draft = Draft::act("rotation.waiver-asked").reason(reason).with("until", until.to_string());
        record(work, facts, &draft.with("task", lead).with("waiver", id.to_string()))
    }

    async fn confirm(&self, work: &mut Work<'_>, facts: &TaskFacts, waiver: WaiverId) -> Result<()> {
        let principal = self.permit.principal().to_string();
        let touched = work
            .execute(
                sql("UPDATE rotation_waivers SET confirmed_by = $2, confirmed_at = $3 WHERE id = $1 \
                     AND confirmed_at IS NULL AND ended_at IS NULL AND asked_by <> $2 AND until > $3")
                .bind(waiver)
                .bind(&principal)
                .bind(work.now()),
            )
            .await?;
        let found = facts.waiver.as_ref().filter(|it| touched == 1 && it.id == waiver.to_string());
        let found = found.ok_or_else(|| {
            Problem::conflict(format!("the waiver {waiver} is confirmed already, or has ended"))
                .remedy("`portctl rotation show` says how it stands.")
        })?;
        let draft = Draft::act("rotation.waived")
            .with("waiver", waiver.to_string())
            .with("asked_by", found.asked_by.as_str())
            .with("until", found.until().to_string());
        record(work, facts, &draft)
    }

    async fn end(&self, work: &mut Work<'_>, facts: &TaskFacts, lead: &str, reason: &str) -> Result<()> {
        if reason.trim().is_empty() {
            return Err(Problem::invalid("taking a waiver back needs a reason").remedy("Add --reason \"…\"."));
        }
        if facts.waiver.is_none() {
            return Err(Problem::conflict(format!("nobody has asked that the task {lead} may wait")));
        }
        end_waivers_of_open(work, lead, "taken back").await?;
        let draft = Draft::act("rotation.waiver-ended").reason(reason).with("because", "taken back");
        record(work, facts, &draft.with("task", lead))
    }
}

fn check_wish(reason: &str, until: Timestamp, now: Timestamp) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("that a task may wait needs a reason").remedy("Add --reason \"…\"."));
    }
    if until <= now || until > now.after(LONGEST) {
        return Err(Problem::invalid(format!("{until} is past, or more than a year away"))
            .remedy("Say a nearer end: `--until 2027-01-31`."));
    }
    Ok(())
}

/// Ends what was asked or agreed about a task, where anything was: without an entry of its own. How many
/// that were.
pub(super) async fn end_waivers(work: &mut Work<'_>, lead: &str, because: &str) -> Result<u64> {
    work.execute(
        sql("UPDATE rotation_waivers SET ended_at = $2, ended_because = $3 WHERE task = $1 AND ended_at IS NULL")
            .bind(lead)
            .bind(work.now())
            .bind(because),
    )
    .await
}

/// The same for a task that stays open: whoever was through because it might wait is not any more.
pub(super) async fn end_waivers_of_open(work: &mut Work<'_>, lead: &str, because: &str) -> Result<()> {
    if end_waivers(work, lead, because).await? > 0 {
        work.execute(
            sql("UPDATE leavers SET closed_at = NULL, outcome = NULL WHERE outcome = 'nothing-left' AND person IN \
                 (SELECT c.person FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
                     WHERE t.id = $1 OR t.bundle = $1) AND EXISTS (SELECT 1 FROM people p \
                         WHERE p.id = leavers.person AND p.status_since = leavers.since)")
            .bind(lead),
        )
        .await?;
    }
    Ok(())
}

/// Ends a waiver whose time is over.
pub(super) struct EndWaiver {
    pub(super) permit: Permit,
    pub(super) lead: String,
}

#[async_trait]
impl Unit for EndWaiver {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Rotate)?;
        let waiver: Option<Waiver> = work.fetch_optional(waiver_query(&self.lead)).await?;
        if waiver.is_none_or(|it| it.until() > work.now()) {
            return Err(Problem::conflict("the waiver has ended, or has not run out"));
        }
        let facts = TaskFacts::read(&mut *work, &self.lead).await?;
        let facts = facts.ok_or_else(|| Problem::internal("a waiver has lost its task"))?;
        end_waivers_of_open(work, &self.lead, "time").await?;
        let draft = Draft::act("rotation.waiver-ended").with("because", "time");
        record(work, &facts, &draft.with("task", self.lead.as_str()))
    }
}
