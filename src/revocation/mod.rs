//! What leavers still hold, until nothing is left.
//!
//! From the commit of a deactivation nothing works for the leaver any more; this room makes that tidy
//! and lasting: it ends what she held, and keeps a rotation task open for each secret while a value
//! that she knows is current or delivered. Level-triggered (invariant 6): woken by the log and a timer,
//! it reads what is left and takes it away; it has no other input, and killed at any point it goes on
//! where it was.

mod close;
mod delays;
mod held;
mod known;
mod leaver;
mod preview;
mod rotation;
mod steps;
mod tell;

#[cfg(test)]
mod tests;

pub use delays::Delay;
pub use held::HeldThing;
pub use known::KnownValue;
pub use leaver::{Leaver, LeaverRow, Left, StepTaken};
pub use preview::Preview;
pub use rotation::{Obstacle, Place, Rotation, RotationParts, Standing, Task, Waiver};

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use self::{
    delays::Delays,
    steps::{Kind, Step, Take},
    tell::Messages,
};
use crate::{
    audit::Log,
    base::{Ambient, Problem, ProblemKind, Result, ids::PersonId},
    catalog::Catalog,
    identity::ServicePermits,
    notify::Outbox,
    policy::{Action, Permit, Resource, Service},
    store::Database,
};

/// Longest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// Time between two looks while something is put off.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Takes from leavers what they hold, and tells what is left. Cheap to clone.
#[derive(Clone)]
pub struct Revocation {
    database: Database,
    log: Log,
    catalog: Catalog,
    permits: Arc<dyn ServicePermits>,
    ambient: Ambient,
    outbox: Outbox,
}

/// What came of one look at what there is to do.
#[derive(Default)]
struct Round {
    taken: usize,
    /// The first thing that went wrong; everything else was done all the same.
    problem: Option<Problem>,
}

impl Revocation {
    /// Acts under permits of [`Service::Revocation`], and tells by `outbox`.
    #[must_use]
    pub fn new(
        database: Database,
        log: Log,
        catalog: Catalog,
        permits: Arc<dyn ServicePermits>,
        ambient: Ambient,
        outbox: Outbox,
    ) -> Self {
        Self { database, log, catalog, permits, ambient, outbox }
    }

    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.log.watch();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            let sleep = match self.look().await {
                Ok(_) if !self.waits().await => LONGEST_SLEEP,
                Ok(_) => AFTER_FAILURE,
                Err(problem) => {
                    tracing::warn!(%problem, "a part of what leavers hold could not be taken yet");
                    AFTER_FAILURE
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

    /// Whether a step is put off that has to be tried again soon.
    async fn waits(&self) -> bool {
        Delays::read(&self.database).await.is_ok_and(|delays| !delays.is_empty())
    }

    /// Takes every step that there is to take now; how many were taken. One that fails is put off, and
    /// holds no other up.
    ///
    /// # Errors
    /// The first problem of a step, once everything else is done; what was taken stays taken.
    pub async fn look(&self) -> Result<usize> {
        let mut taken = 0;
        let mut first_problem = None;
        if !leaver::any(&self.database).await? {
            return Ok(taken);
        }
        loop {
            let mut round = Round::default();
            // In this order: a leaver is only through when her tasks are, tasks come from what she knows.
            for kind in steps::KINDS {
                if let Err(problem) = self.take_all(kind, &mut round).await {
                    round.problem.get_or_insert(problem);
                }
            }
            taken += round.taken;
            first_problem = first_problem.or(round.problem);
            if round.taken == 0 {
                return first_problem.map_or(Ok(taken), Err);
            }
        }
    }

    /// Takes all steps of a kind that are due.
    async fn take_all(&self, kind: Kind, round: &mut Round) -> Result<()> {
        let declared = self.catalog.snapshot().await?;
        let delays = Delays::read(&self.database).await?;
        let now = self.ambient.now();
        let mut found = kind.find(&self.database, &declared).await?;
        found.retain(|step| delays.is_due(step, now));
        let delays = &delays;
        for outcome in join_all(found.into_iter().map(|step| self.try_to_take(step, delays))).await {
            match outcome {
                Ok(taken) => round.taken += usize::from(taken),
                Err(problem) => drop(round.problem.get_or_insert(problem)),
            }
        }
        Ok(())
    }

    /// Takes a step, or puts it off; whether it was taken.
    async fn try_to_take(&self, step: Step, delays: &Delays) -> Result<bool> {
        match self.take(step.clone()).await {
            Ok(()) => delays.over(&self.database, &step).await.map(|()| true),
            Err(problem) if is_overtaken(&problem) => {
                delays.over(&self.database, &step).await.map(|()| false)
            }
            Err(problem) => {
                delays::put_off(&self.database, &self.ambient, &step, &problem).await?;
                Err(problem)
            }
        }
    }

    async fn take(&self, step: Step) -> Result<()> {
        let permit = self.permits.permit(Service::Revocation, Action::Revoke, Resource::People)?;
        let declared = self.catalog.snapshot().await?;
        let messages = match step {
            Step::Begin(person) => Messages::of(self, &declared, person).await?,
            _ => Messages::default(),
        };
        self.log.perform(Take { permit, step, declared, messages, revocation: self.clone() }).await
    }

    /// Everyone who has left, those with something left first.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn leavers(&self, permit: Permit) -> Result<Vec<LeaverRow>> {
        permit.expect(Action::SeePeople)?;
        let declared = self.catalog.snapshot().await?;
        leaver::all(&self.database, &declared).await
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

    /// What would end if somebody left now. Changes nothing.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn preview(&self, permit: Permit, person: PersonId) -> Result<Preview> {
        permit.expect(Action::SeePeople)?;
        let declared = self.catalog.snapshot().await?;
        preview::of(&self.database, &declared, person, self.ambient.now()).await
    }
}

/// What another replica, or the world, was quicker with; the next look sees how it is now.
fn is_overtaken(problem: &Problem) -> bool {
    [ProblemKind::Conflict, ProblemKind::FactsChanged, ProblemKind::NotFound, ProblemKind::AlreadyExists]
        .iter()
        .any(|kind| problem.is(*kind))
}
