//! What leavers still hold, until nothing is left.
//!
//! From the commit of a deactivation nothing works for the leaver any more; this room makes that tidy
//! and lasting: it ends what she held, and keeps a rotation task open for each secret while a value
//! that she knows is current or delivered. Level-triggered (invariant 6): woken by the log and a timer,
//! it reads what is left and takes it away; it has no other input, and killed at any point it goes on
//! where it was.

mod leaver;
mod steps;
mod tasks;

#[cfg(test)]
mod tests;

pub use leaver::{Leaver, LeaverRow, Left, StepTaken};
pub use tasks::{Obstacle, Task};

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use self::steps::{Step, Take};
use crate::{
    audit::Log,
    base::{Problem, ProblemKind, Result, ids::PersonId},
    catalog::Catalog,
    identity::ServicePermits,
    policy::{Action, Permit, Resource, Service},
    store::Database,
};

/// Longest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// Takes from leavers what they hold, and tells what is left. Cheap to clone.
#[derive(Clone)]
pub struct Revocation {
    database: Database,
    log: Log,
    catalog: Catalog,
    permits: Arc<dyn ServicePermits>,
}

impl Revocation {
    /// Acts under permits of [`Service::Revocation`].
    #[must_use]
    pub fn new(database: Database, log: Log, catalog: Catalog, permits: Arc<dyn ServicePermits>) -> Self {
        Self { database, log, catalog, permits }
    }

    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.log.watch();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            let sleep = match self.look().await {
                Ok(_) => LONGEST_SLEEP,
                Err(problem) => {
                    tracing::warn!(%problem, "what leavers hold could not be taken yet");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SHORTEST_SLEEP) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
                _ = log.changed() => {}
            }
        }
    }

    /// Takes every step that there is to take now; how many were taken.
    ///
    /// # Errors
    /// A problem of the database; what was taken before stays taken.
    pub async fn look(&self) -> Result<usize> {
        let mut taken = 0;
        if !leaver::any(&self.database).await? {
            return Ok(taken);
        }
        loop {
            let before = taken;
            // In this order: a leaver is only through when her tasks are, tasks come from what she knows.
            for kind in steps::KINDS {
                let declared = self.catalog.snapshot().await?;
                let found = kind.find(&self.database, &declared).await?;
                for outcome in join_all(found.into_iter().map(|step| self.take(step))).await {
                    match outcome {
                        Ok(()) => taken += 1,
                        Err(problem) if is_overtaken(&problem) => {}
                        Err(problem) => return Err(problem),
                    }
                }
            }
            if taken == before {
                return Ok(taken);
            }
        }
    }

    async fn take(&self, step: Step) -> Result<()> {
        let permit = self.permits.permit(Service::Revocation, Action::Revoke, Resource::People)?;
        let declared = self.catalog.snapshot().await?;
        self.log.perform(Take { permit, step, declared }).await
    }

    /// Everyone who has left, those with something left first.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn leavers(&self, permit: Permit) -> Result<Vec<LeaverRow>> {
        permit.expect(Action::SeePeople)?;
        leaver::all(&self.database).await
    }

    /// What is left of a leaver, with the steps taken since she left.
    ///
    /// # Errors
    /// `not-found`, or `conflict` for somebody who has not left.
    pub async fn leaver(&self, permit: Permit, person: PersonId) -> Result<Leaver> {
        permit.expect(Action::SeePeople)?;
        let declared = self.catalog.snapshot().await?;
        leaver::one(&self.database, &declared, person).await
    }

    /// Rotation tasks, the newest first: open, closed, or all.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn tasks(&self, permit: Permit, state: Option<&str>) -> Result<Vec<Task>> {
        permit.expect(Action::SeeRotation)?;
        let declared = self.catalog.snapshot().await?;
        tasks::list(&self.database, &declared, state, None).await
    }
}

/// What another replica, or the world, was quicker with; the next look sees how it is now.
fn is_overtaken(problem: &Problem) -> bool {
    [ProblemKind::Conflict, ProblemKind::FactsChanged, ProblemKind::NotFound, ProblemKind::AlreadyExists]
        .iter()
        .any(|kind| problem.is(*kind))
}
