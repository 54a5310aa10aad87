//! What rotation does by itself: level-triggered (invariant 6), woken by the log and a timer.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Rotation,
    age::{OpenAged, aged},
    ask::AskFor,
    close::close,
    remind::{Remind, sent_query, stage},
    rotator::Driven,
    task::{closable, required},
    waive::EndWaiver,
};
use crate::{
    audit::{Authority, Unit, Work},
    base::{ProblemKind, Result, SecretRef, Timestamp, ids::RotationTaskId},
    catalog::{Snapshot, Way},
    policy::{Action, Permit, Resource, Service},
    revocation::is_overtaken,
    store::sql,
};

/// Longest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
/// How often is looked at what only time changes: ages, reminders, passwords that the engine changed.
const SLOWLY: Duration = Duration::from_mins(1);

/// When was looked last at what only time and files change.
pub(super) struct Slow {
    next: Timestamp,
    /// The version of what files declared then.
    catalog: i64,
}

impl Slow {
    /// Never yet.
    pub(super) const NEVER: Self = Self { next: Timestamp::EPOCH, catalog: -1 };
}

impl Rotation {
    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.it.log.watch();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            self.look().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SHORTEST_SLEEP) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LONGEST_SLEEP) => {}
                _ = log.changed() => {}
            }
        }
    }

    /// Does everything that there is to do now; how many steps were taken. What fails is told and tried
    /// again later, and keeps nothing else from being done.
    pub async fn look(&self) -> usize {
        let mut taken = 0;
        loop {
            let before = taken;
            let slow = self.is_time_for_slow().await;
            for part in [Part::Waivers, Part::Ages, Part::Rotators, Part::Close, Part::Reminders] {
                if !slow && matches!(part, Part::Ages | Part::Reminders) {
                    continue;
                }
                match self.part(part, slow).await {
                    Ok(steps) => taken += steps,
                    Err(problem) => tracing::warn!(%problem, ?part, "rotation could not go on yet"),
                }
            }
            if taken == before {
                return taken;
            }
        }
    }

    /// Whether a minute has passed since it was said last that one had, or files declare something else.
    async fn is_time_for_slow(&self) -> bool {
        let Ok(declared) = self.it.catalog.snapshot().await else { return false };
        let now = self.it.ambient.now();
        let mut last = self.slow.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = now >= last.next || declared.version != last.catalog;
        if due {
            *last = Slow { next: now.after(SLOWLY), catalog: declared.version };
        }
        due
    }

    async fn part(&self, part: Part, slow: bool) -> Result<usize> {
        let declared = self.it.catalog.snapshot().await?;
        match part {
            Part::Waivers => self.end_waivers().await,
            Part::Ages => self.open_aged(&declared).await,
            Part::Rotators => self.rotate_all(&declared, slow).await,
            Part::Close => self.close_all(&declared).await,
            Part::Reminders => self.remind(&declared).await,
        }
    }

    pub(super) fn permit(&self) -> Result<Permit> {
        self.it.permits.permit(Service::Rotation, Action::Rotate, Resource::Rotation)
    }

    async fn end_waivers(&self) -> Result<usize> {
        let leads: Vec<(String,)> = self
            .it
            .database
            .fetch_all(
                sql("SELECT task FROM rotation_waivers WHERE ended_at IS NULL AND until <= $1 LIMIT 256")
                    .bind(self.it.ambient.now()),
            )
            .await?;
        let mut taken = 0;
        for (lead,) in leads {
            taken += done(self.it.log.perform(EndWaiver { permit: self.permit()?, lead }).await)?;
        }
        Ok(taken)
    }

    async fn open_aged(&self, declared: &Arc<Snapshot>) -> Result<usize> {
        let mut taken = 0;
        for secret in aged(&self.it.database, declared, self.it.ambient.now()).await? {
            let unit = OpenAged { permit: self.permit()?, secret, declared: Arc::clone(declared) };
            taken += done(self.it.log.perform(unit).await)?;
        }
        Ok(taken)
    }

    /// Closes every task that nothing stands in the way of; how many these were.
    ///
    /// # Errors
    /// A problem of the database.
    pub(super) async fn close_all(&self, declared: &Arc<Snapshot>) -> Result<usize> {
        let mut taken = 0;
        for task in closable(&self.it.database, declared).await? {
            let unit = Close { permit: self.permit()?, task, declared: Arc::clone(declared) };
            taken += done(self.it.log.perform(unit).await)?;
        }
        Ok(taken)
    }

    /// Lets every rotator take its steps; `slow` says whether also those without a task are looked at.
    async fn rotate_all(&self, declared: &Arc<Snapshot>, slow: bool) -> Result<usize> {
        let mut taken = 0;
        for (at, rotation) in declared.rotation_list() {
            let lead = match rotation.way() {
                Some(Way::StaticRole(_) | Way::Webhook(_)) => self.open_task_of(&at).await?,
                _ => continue,
            };
            let outcome = match (rotation.way(), lead) {
                (Some(Way::StaticRole(role)), lead) if slow || lead.is_some() => {
                    self.drive(declared, &Driven { at: &at, role, lead }).await
                }
                (Some(Way::Webhook(rotator)), Some(lead)) => {
                    self.ask_outside(declared, &at, rotator, lead).await
                }
                _ => Ok(false),
            };
            match outcome {
                Ok(stepped) => taken += usize::from(stepped),
                Err(problem) if is_overtaken(&problem) => {}
                Err(problem) => tracing::warn!(%problem, secret = %at, "a rotator does not work"),
            }
        }
        Ok(taken)
    }

    async fn open_task_of(&self, at: &SecretRef) -> Result<Option<String>> {
        let found: Option<(String,)> = self
            .it
            .database
            .fetch_optional(
                sql("SELECT COALESCE(t.bundle, t.id) AS lead FROM rotation_tasks t \
                     JOIN secrets s ON s.id = t.secret WHERE t.state = 'open' \
                     AND s.application = $1 AND s.environment = $2 AND s.team = $3 AND s.name = $4")
                .bind(&at.environment.application)
                .bind(&at.environment.environment)
                .bind(at.environment.team_column())
                .bind(&at.name),
            )
            .await?;
        Ok(found.map(|(lead,)| lead))
    }

    async fn ask_outside(
        &self,
        declared: &Arc<Snapshot>,
        at: &SecretRef,
        rotator: &crate::base::Name,
        lead: String,
    ) -> Result<bool> {
        let outbox = self.it.rotators.get(rotator).ok_or_else(|| {
            crate::base::Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("files name the rotator '{rotator}', and this server has none of that name"),
            )
            .remedy("Add it to the server's configuration: `[[rotators]]`.")
        })?;
        let unit = AskFor {
            permit: self.permit()?,
            at: at.clone(),
            lead,
            rotator: rotator.clone(),
            outbox: outbox.clone(),
            declared: Arc::clone(declared),
        };
        self.it.log.perform(unit).await.map(|()| true)
    }

    async fn remind(&self, declared: &Arc<Snapshot>) -> Result<usize> {
        let mut taken = 0;
        for task in required(&self.it.database, declared).await? {
            let Some(stage) = stage(task.due_at, self.it.ambient.now()) else { continue };
            let sent: Option<(Option<i64>,)> = self.it.database.fetch_optional(sent_query(task.id)).await?;
            if sent.and_then(|(sent,)| sent).is_some_and(|sent| sent >= stage) {
                continue;
            }
            let unit = Remind { permit: self.permit()?, task, stage, outbox: self.it.outbox.clone() };
            taken += done(self.it.log.perform(unit).await)?;
        }
        Ok(taken)
    }
}

/// What there is to do, in this order.
#[derive(Clone, Copy, Debug)]
enum Part {
    Waivers,
    Ages,
    Rotators,
    Close,
    Reminders,
}

/// One step taken; none where somebody else was quicker.
fn done(outcome: Result<()>) -> Result<usize> {
    match outcome {
        Ok(()) => Ok(1),
        Err(problem) if is_overtaken(&problem) => Ok(0),
        Err(problem) => Err(problem),
    }
}

/// Closes a task whose secrets have changed.
struct Close {
    permit: Permit,
    task: RotationTaskId,
    declared: Arc<Snapshot>,
}

#[async_trait::async_trait]
impl Unit for Close {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Rotate)?;
        close(work, &self.declared, self.task).await
    }
}
