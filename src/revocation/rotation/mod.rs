//! Rotation tasks: values that have to be replaced, because somebody who left knows them or because they
//! are too old; by whom, by when, and what stands in the way.
//!
//! Opening and closing rest on facts alone. Two people can agree that a task waits; nobody can say that
//! it is done where it is plain to see that it is not.

mod age;
mod ask;
mod close;
mod facts;
mod open;
mod remind;
mod rotator;
mod rows;
mod rules;
mod run;
mod said;
mod task;
#[cfg(test)]
mod tests;
mod turn;
mod waive;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

pub use facts::Obstacle;
pub use rows::Waiver;
pub use task::{Place, Standing, Task};

pub(super) use self::{
    close::close,
    open::{open, to_open},
    rules::Lenient,
    task::{closable, list},
};
use self::{
    said::Say,
    waive::{Step, Waive},
};
use crate::{
    audit::{Log, Work},
    base::{
        Ambient, Name, Problem, Result, Timestamp,
        ids::{PersonId, RotationTaskId, WaiverId},
    },
    catalog::Catalog,
    keys::Keys,
    notify::Outbox,
    policy::{Action, Permit, Resource, ServicePermits},
    secrets::{Secrets, StaticRoles},
    store::{Database, sql},
};

/// What rotation is made from.
pub struct RotationParts {
    /// Where tasks lie.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// What files declare.
    pub catalog: Catalog,
    /// Time.
    pub ambient: Ambient,
    /// Recognises values.
    pub keys: Keys,
    /// Where new values are set.
    pub secrets: Secrets,
    /// Permits of its own service.
    pub permits: Arc<dyn ServicePermits>,
    /// The engine that has static roles, where there is one.
    pub roles: Option<Arc<dyn StaticRoles>>,
    /// Where reminders go.
    pub outbox: Outbox,
    /// The rotators of the server's configuration, each with the way to it.
    pub rotators: BTreeMap<Name, Outbox>,
}

/// Keeps rotation tasks, and has new values made. Cheap to clone.
#[derive(Clone)]
pub struct Rotation {
    it: Arc<RotationParts>,
    /// When was looked last at what only time and files change.
    slow: Arc<Mutex<run::Slow>>,
}

impl Rotation {
    /// Acts under permits of [`crate::policy::Service::Rotation`].
    #[must_use]
    pub fn new(parts: RotationParts) -> Self {
        Self { it: Arc::new(parts), slow: Arc::new(Mutex::new(run::Slow::NEVER)) }
    }

    /// Rotation tasks: those that have to be done first, then the newest; open, closed, or all. `permit`
    /// is one to see rotation, or what is one's own: then the caller keeps what is hers.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn tasks(&self, permit: Permit, state: Option<&str>) -> Result<Vec<Task>> {
        expect_sight(&permit)?;
        let declared = self.it.catalog.snapshot().await?;
        task::list(&self.it.database, &declared, state, None).await
    }

    /// One task, whichever of those that are one with it is named. `permit` as for [`Self::tasks`].
    ///
    /// # Errors
    /// `not-found`.
    pub async fn task(&self, permit: Permit, task: RotationTaskId) -> Result<Task> {
        expect_sight(&permit)?;
        self.read(task).await
    }

    async fn read(&self, task: RotationTaskId) -> Result<Task> {
        let declared = self.it.catalog.snapshot().await?;
        task::one(&self.it.database, &declared, task).await
    }

    /// What a permit about the waiver of a task is for. Whoever asked has no say in confirming it, and
    /// whom the task is about has none at all.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn waiver(&self, task: RotationTaskId, confirming: bool) -> Result<Resource> {
        let found = self.read(task).await?;
        let mut barred: BTreeSet<PersonId> = found.people.iter().copied().collect();
        if confirming {
            barred.extend(found.waiver.iter().filter_map(|it| it.asked_by.parse::<PersonId>().ok()));
        }
        Ok(Resource::Waiver { task: found.id, barred: barred.into_iter().collect() })
    }

    /// Asks that the task of the permit may wait. It has no effect until somebody else confirms it.
    ///
    /// # Errors
    /// `invalid-request` for no reason or an end that is past or a year away; `conflict` where that is
    /// asked for already; those of [`Log::perform`].
    pub async fn waive(&self, permit: Permit, reason: &str, until: Timestamp) -> Result<Task> {
        self.step(permit, Step::Ask { reason: reason.to_owned(), until }).await
    }

    /// Agrees that the task of the permit may wait.
    ///
    /// # Errors
    /// `conflict` where it is confirmed already or has ended; those of [`Log::perform`].
    pub async fn confirm(&self, permit: Permit, waiver: WaiverId) -> Result<Task> {
        self.step(permit, Step::Confirm(waiver)).await
    }

    /// Takes back that the task of the permit may wait.
    ///
    /// # Errors
    /// `invalid-request` for no reason; `conflict` where nobody has asked for it; those of [`Log::perform`].
    pub async fn unwaive(&self, permit: Permit, reason: &str) -> Result<Task> {
        self.step(permit, Step::End { reason: reason.to_owned() }).await
    }

    async fn step(&self, permit: Permit, step: Step) -> Result<Task> {
        permit.expect(Action::WaiveRotation)?;
        let task = self.it.log.perform(Waive { permit, step }).await?;
        self.read(task).await
    }

    /// Notes that the old value of the secret that the permit is for, one of `task`, is worth nothing at
    /// its target any more. `permit` is one to set the secret.
    ///
    /// # Errors
    /// `conflict` where the current value is one that should go: that is plain to see; `invalid-request`
    /// for no reason; those of [`Log::perform`].
    pub async fn say_done(&self, permit: Permit, task: RotationTaskId, reason: &str) -> Result<()> {
        let declared = self.it.catalog.snapshot().await?;
        self.it.log.perform(Say { permit, task, reason: reason.to_owned(), declared }).await
    }

    /// Looks again at once whether tasks can be closed.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn look_again(&self) -> Result<()> {
        let declared = self.it.catalog.snapshot().await?;
        self.close_all(&declared).await.map(drop)
    }
}

fn expect_sight(permit: &Permit) -> Result<()> {
    match permit.action() {
        Action::SeeRotation | Action::SeeOwn => Ok(()),
        other => Err(Problem::internal(format!("a permit to {other} was used to see rotation tasks"))),
    }
}

/// Somebody who was through is not any more.
async fn reopen_leaver(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    work.execute(
        sql("UPDATE leavers SET closed_at = NULL, outcome = NULL, closed_by = NULL, closed_because = NULL \
             WHERE person = $1 AND closed_at IS NOT NULL AND EXISTS (SELECT 1 FROM people p \
                 WHERE p.id = leavers.person AND p.status_since = leavers.since)")
        .bind(person),
    )
    .await?;
    Ok(())
}
