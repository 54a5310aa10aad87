//! Closing tasks: by facts alone.
//!
//! A task closes when none of its causes' values is in use at any of its secrets, the current values are
//! wherever files declare them, and the old ones are ended where that has to be seen to. So an equal value
//! closes nothing, and going back to a known one opens a new task.

use super::{facts::TaskFacts, waive::end_waivers};
use crate::{
    audit::{Draft, Work},
    base::{Problem, Result, ids::RotationTaskId},
    catalog::Snapshot,
    store::sql,
};

/// Closes a task if nothing stands in its way now. `task` is the first of those that are one.
pub(in crate::revocation) async fn close(
    work: &mut Work<'_>,
    declared: &Snapshot,
    task: RotationTaskId,
) -> Result<()> {
    check_version(work, declared).await?;
    let lead = task.to_string();
    let facts = TaskFacts::read(&mut *work, &lead).await?.filter(TaskFacts::is_open);
    let facts = facts.ok_or_else(|| Problem::conflict(format!("the task {task} is closed")))?;
    if let Some(obstacle) = facts.obstacles(declared).first() {
        return Err(Problem::conflict(format!("the task {task} stays open: {obstacle}")));
    }
    work.execute(
        sql("UPDATE rotation_tasks SET state = 'closed', closed_at = $2 WHERE id = $1 OR bundle = $1")
            .bind(task)
            .bind(work.now()),
    )
    .await?;
    end_waivers(work, &lead, "closed").await?;
    record(work, &facts, &Draft::act("rotation.closed").with("task", lead))
}

/// One entry for each secret of a task and each leaver that it is about, so that the log of each has it.
pub(super) fn record(work: &mut Work<'_>, facts: &TaskFacts, draft: &Draft) -> Result<()> {
    for place in &facts.places {
        let draft = draft
            .clone()
            .secret(&place.at.environment, &place.at.name)
            .with("version", place.secret.version.clone());
        let people = facts.people()?;
        for person in &people {
            work.record(draft.clone().subject(*person));
        }
        if people.is_empty() {
            work.record(draft);
        }
    }
    Ok(())
}

/// Refuses where files declare something else than what was looked at.
pub(super) async fn check_version(work: &mut Work<'_>, declared: &Snapshot) -> Result<()> {
    let found: Option<(i64,)> = work.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
    if found.is_some_and(|(version,)| version == declared.version) {
        return Ok(());
    }
    Err(Problem::conflict("what files declare has changed meanwhile"))
}
