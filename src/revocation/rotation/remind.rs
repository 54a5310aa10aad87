//! Reminders: a day before a task is due, when it is, and every week from then on.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::task::{SOON, Task};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result, Timestamp, ids::RotationTaskId},
    notify::Outbox,
    policy::{Action, Permit},
    store::{Query, sql},
};

/// How often is reminded of a task that is late.
const AGAIN: Duration = Duration::from_hours(7 * 24);

/// The newest reminder that is to be sent by `now`: 0 before it is due, 1 when it is, then one a week.
pub(super) fn stage(due: Timestamp, now: Timestamp) -> Option<i64> {
    if now < due {
        return (now.after(SOON) >= due).then_some(0);
    }
    let weeks = now.since(due).as_millis() / AGAIN.as_millis();
    Some(i64::try_from(weeks).unwrap_or(i64::MAX - 1).saturating_add(1))
}

/// The newest reminder of a task that was sent.
pub(super) fn sent_query(task: RotationTaskId) -> Query {
    sql("SELECT max(stage) FROM rotation_reminders WHERE task = $1").bind(task)
}

/// Sends a reminder, if it is still to be sent.
pub(super) struct Remind {
    pub(super) permit: Permit,
    pub(super) task: Task,
    pub(super) stage: i64,
    pub(super) outbox: Outbox,
}

#[async_trait]
impl Unit for Remind {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Rotate)?;
        let task = self.task.id;
        let sent: Option<(Option<i64>,)> = work.fetch_optional(sent_query(task)).await?;
        let open: Option<(String,)> = work
            .fetch_optional(sql("SELECT id FROM rotation_tasks WHERE id = $1 AND state = 'open'").bind(task))
            .await?;
        if open.is_none() || sent.and_then(|(stage,)| stage).is_some_and(|it| it >= self.stage) {
            return Err(Problem::conflict(format!("of {task} was reminded, or it is closed")));
        }
        work.execute(
            sql("INSERT INTO rotation_reminders (task, stage, at) VALUES ($1, $2, $3)")
                .bind(task)
                .bind(self.stage)
                .bind(work.now()),
        )
        .await?;
        let teams: BTreeSet<Option<&Name>> =
            self.task.places.iter().map(|place| place.team.as_ref()).collect();
        for team in teams {
            self.outbox.enqueue(work, "rotation.reminder", &message(&self.task, self.stage, team)).await?;
        }
        for place in &self.task.places {
            let at = &place.secret;
            let draft = Draft::act("rotation.reminded").secret(&at.environment, &at.name);
            work.record(draft.with("task", task.to_string()).with("stage", self.stage));
        }
        Ok(())
    }
}

/// What is told to a team of its secrets: never a value, and nobody's name.
fn message(task: &Task, stage: i64, team: Option<&Name>) -> Value {
    let places: Vec<Value> = task
        .places
        .iter()
        .filter(|place| place.team.as_ref() == team)
        .map(|place| {
            let waits_for: Vec<String> = place.waits_for.iter().map(ToString::to_string).collect();
            let way = place.rotation.as_ref().and_then(crate::catalog::Rotation::way);
            json!({
                "secret": place.secret.to_string(),
                "waits_for": waits_for,
                "instructions": way.as_ref().and_then(|way| way.instructions()),
            })
        })
        .collect();
    json!({
        "team": team,
        "task": task.id.to_string(),
        "opened_at": task.opened_at.to_string(),
        "due_at": task.due_at.to_string(),
        "late": stage > 0,
        "places": places,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_a_day_before_then_when_it_is_due_then_every_week() {
        let due: Timestamp = "2026-03-08T12:00:00Z".parse().unwrap();
        let hours = |n: u64| Duration::from_hours(n);
        assert_eq!(stage(due, due.before(hours(25))), None);
        assert_eq!(stage(due, due.before(hours(24))), Some(0));
        assert_eq!(stage(due, due), Some(1));
        assert_eq!(stage(due, due.after(hours(7 * 24 - 1))), Some(1));
        assert_eq!(stage(due, due.after(hours(7 * 24))), Some(2));
        assert_eq!(stage(due, due.after(hours(7 * 24 * 10))), Some(11));
    }
}
