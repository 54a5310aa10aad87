//! Rotators that work by themselves: static roles of an engine, and rotators outside that are asked.
//!
//! Changing a password is between an intent and an outcome. What became of an intent without an outcome is
//! found by comparing the password with the one that it was about.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Obstacle, Rotation,
    facts::{PlaceFacts, TaskFacts},
    rows::{FailureRow, SecretRow, failure_query, named_query},
    said::end_old_value,
    turn::{Print, Seen, Turn},
};
use crate::{
    audit::{Authority, Draft, IntentOutcome, Unit, Work},
    base::{Problem, ProblemKind, Result, SecretRef, SecretValue, Timestamp, hex, ids::IntentId},
    catalog::{Snapshot, StaticRole},
    policy::{Action, Permit, Resource, Service},
    secrets::StaticRoles,
    store::sql,
};

/// This room in the table of intents.
const ROOM: &str = "rotation";
/// An intent that is younger may still be under way: every call of an engine ends earlier.
const UNDER_WAY: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What is about to be done at the engine. No value.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    mount: String,
    role: String,
    which: usize,
    /// The secret's value with the password before, as a keyed fingerprint in hexadecimal.
    before: String,
}

/// A secret whose value is the password of a static role.
pub(super) struct Driven<'a> {
    pub(super) at: &'a SecretRef,
    pub(super) role: &'a StaticRole,
    /// The first of the tasks that are one, where one is open.
    pub(super) lead: Option<String>,
}

/// A value and its fingerprint.
struct Rendered {
    value: SecretValue,
    print: Print,
}

impl Rotation {
    /// Takes the next step about a secret; whether there was one to take.
    pub(super) async fn drive(&self, declared: &Arc<Snapshot>, driven: &Driven<'_>) -> Result<bool> {
        let secret: Option<SecretRow> = self.it.database.fetch_optional(named_query(driven.at)).await?;
        let failed = match &secret {
            Some(row) => self.it.database.fetch_optional::<FailureRow>(failure_query(&row.id)).await?,
            None => None,
        };
        if failed.as_ref().is_some_and(|it| Timestamp::from_millis(it.next_at) > self.it.ambient.now()) {
            return Ok(false);
        }
        let outcome = self.take_turn(declared, driven, secret.as_ref()).await;
        if let Some(row) = &secret {
            self.note(row, failed.as_ref(), outcome.as_ref().err()).await?;
        }
        outcome
    }

    async fn take_turn(
        &self,
        declared: &Arc<Snapshot>,
        it: &Driven<'_>,
        row: Option<&SecretRow>,
    ) -> Result<bool> {
        let engine = self.engine(it.at)?;
        let mut rendered = Vec::new();
        for role in it.role.roles() {
            rendered.push(self.rendered(engine.as_ref(), it.role, role).await?);
        }
        if self.is_under_way(it, &rendered).await? {
            return Ok(false);
        }
        let facts = match &it.lead {
            Some(lead) => TaskFacts::read(&self.it.database, lead).await?,
            None => None,
        };
        let place = facts.as_ref().and_then(|facts| facts.places.iter().find(|place| place.at == *it.at));
        match next(declared, row, facts.as_ref(), place, &rendered) {
            Turn::Rotate(which) => self.rotate(engine.as_ref(), it, which, &rendered[which]).await?,
            Turn::Set(which) => self.set(declared, it, row, &rendered[which]).await?,
            Turn::End => self.end(declared, it).await?,
            Turn::Rest => return Ok(false),
        }
        Ok(true)
    }

    fn engine(&self, at: &SecretRef) -> Result<Arc<dyn StaticRoles>> {
        self.it.roles.clone().ok_or_else(|| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("files declare that Vault makes the values of '{at}', and this server has none"),
            )
            .remedy("Set `[engine] kind = \"vault\"` in the server's configuration.")
        })
    }

    async fn rendered(&self, engine: &dyn StaticRoles, of: &StaticRole, role: &str) -> Result<Rendered> {
        let found = engine.credentials(&of.mount, role).await?;
        let value = of.render(&found.username, &found.password).ok_or_else(|| {
            Problem::new(ProblemKind::EngineFault, format!("the password of the role '{role}' is no text"))
        })?;
        Ok(Rendered { print: self.it.keys.fingerprint(&value), value })
    }

    /// Whether somebody is changing a password of this secret; what was left without an outcome gets one.
    async fn is_under_way(&self, it: &Driven<'_>, rendered: &[Rendered]) -> Result<bool> {
        let open: Option<(String, String, i64)> = self
            .it
            .database
            .fetch_optional(
                sql("SELECT id, body, opened_at FROM intents \
                     WHERE room = $1 AND subject = $2 AND state IN ('open', 'unknown') ORDER BY id LIMIT 1")
                .bind(ROOM)
                .bind(it.at),
            )
            .await?;
        let Some((id, body, opened_at)) = open else { return Ok(false) };
        if self.it.ambient.now().since(Timestamp::from_millis(opened_at)) < UNDER_WAY {
            return Ok(true);
        }
        let pending: Pending =
            serde_json::from_str(&body).map_err(|_| Problem::internal("a stored intent cannot be read"))?;
        let now = rendered.get(pending.which).map(|it| hex::encode(&it.print));
        let changed = now.is_none_or(|now| now != pending.before);
        let outcome = if changed { IntentOutcome::Done } else { IntentOutcome::Failed };
        let intent = id.parse().map_err(|_| Problem::internal("a stored id cannot be read"))?;
        self.conclude(it, intent, outcome).await?;
        Ok(false)
    }

    async fn rotate(
        &self,
        engine: &dyn StaticRoles,
        it: &Driven<'_>,
        which: usize,
        before: &Rendered,
    ) -> Result<()> {
        let role = it.role.roles().nth(which).unwrap_or(&it.role.role).to_owned();
        let pending = Pending {
            mount: it.role.mount.clone(),
            role: role.clone(),
            which,
            before: hex::encode(&before.print),
        };
        let intent =
            self.it.log.perform(Begin { permit: self.permit()?, at: it.at.clone(), pending }).await?;
        let done = engine.rotate(&it.role.mount, &role).await;
        let outcome = match &done {
            Ok(()) => IntentOutcome::Done,
            // It may have been done all the same; the next look compares.
            Err(_) => IntentOutcome::Unknown,
        };
        self.conclude(it, intent, outcome).await?;
        done
    }

    async fn conclude(&self, it: &Driven<'_>, intent: IntentId, outcome: IntentOutcome) -> Result<()> {
        let unit = Conclude { permit: self.permit()?, at: it.at.clone(), intent, outcome };
        self.it.log.perform(unit).await
    }

    async fn set(
        &self,
        declared: &Snapshot,
        it: &Driven<'_>,
        row: Option<&SecretRow>,
        new: &Rendered,
    ) -> Result<()> {
        let environment = declared.environment(&it.at.environment)?;
        let resource = Resource::Secret(environment, it.at.name.clone());
        let permit = self.it.permits.permit(Service::Rotation, Action::Rotate, resource)?;
        let newest = row.map_or(0, |row| row.latest_number);
        self.it.secrets.set_rotated(permit, new.value.clone(), newest).await.map(drop)
    }

    async fn end(&self, declared: &Arc<Snapshot>, it: &Driven<'_>) -> Result<()> {
        let lead = it.lead.clone().unwrap_or_default();
        let declared = Arc::clone(declared);
        self.it.log.perform(End { permit: self.permit()?, at: it.at.clone(), lead, declared }).await
    }

    /// Notes that a rotator fails, or that it does no longer.
    async fn note(&self, row: &SecretRow, before: Option<&FailureRow>, why: Option<&Problem>) -> Result<()> {
        let query = match why {
            None if before.is_none() => return Ok(()),
            None => sql("DELETE FROM rotator_failures WHERE secret = $1").bind(&row.id),
            Some(problem) => {
                let attempts = before.map_or(0, |it| it.attempts) + 1;
                sql("INSERT INTO rotator_failures (secret, attempts, next_at, last_error) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (secret) DO UPDATE SET attempts = excluded.attempts, \
                     next_at = excluded.next_at, last_error = excluded.last_error")
                .bind(&row.id)
                .bind(attempts)
                .bind(self.it.ambient.now().after(pause(attempts)))
                .bind(&problem.detail)
            }
        };
        self.it.database.write_unrecorded("rotator_failures", query).await?;
        Ok(())
    }
}

/// Doubles with each failure.
fn pause(attempts: i64) -> Duration {
    let doublings = u32::try_from((attempts - 1).clamp(0, 16)).unwrap_or(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// What follows from what is.
fn next(
    declared: &Snapshot,
    row: Option<&SecretRow>,
    facts: Option<&TaskFacts>,
    place: Option<&PlaceFacts>,
    rendered: &[Rendered],
) -> Turn {
    let print = |bytes: &[u8]| Print::try_from(bytes).ok();
    let roles: Vec<Print> = rendered.iter().map(|it| it.print).collect();
    let known: Vec<Print> = facts.map(|facts| facts.known().filter_map(print).collect()).unwrap_or_default();
    let obstacles = match (facts, place) {
        (Some(facts), Some(place)) => facts.obstacles_at(declared, place),
        _ => Vec::new(),
    };
    let is_to_end = obstacles.contains(&Obstacle::StillValid);
    Seen {
        roles: &roles,
        current: row.and_then(|row| row.fingerprint.as_deref()).and_then(print),
        is_new: row.is_none_or(|row| row.latest_number == 0),
        known: &known,
        is_everywhere: obstacles.iter().all(|it| *it == Obstacle::StillValid),
        is_to_end,
    }
    .turn()
}

/// Notes what is about to be done at the engine.
struct Begin {
    permit: Permit,
    at: SecretRef,
    pending: Pending,
}

#[async_trait]
impl Unit for Begin {
    type Output = IntentId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<IntentId> {
        let under_way: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT id FROM intents WHERE room = $1 AND subject = $2 AND state IN ('open', 'unknown') LIMIT 1")
                    .bind(ROOM)
                    .bind(&self.at),
            )
            .await?;
        if under_way.is_some() {
            return Err(Problem::conflict(format!("a password behind '{}' is being changed", self.at)));
        }
        let body = serde_json::to_value(&self.pending).map_err(|e| Problem::internal(e.to_string()))?;
        let draft = Draft::act("rotation.rotating")
            .secret(&self.at.environment, &self.at.name)
            .with("mount", self.pending.mount.as_str())
            .with("role", self.pending.role.as_str());
        work.open_intent(ROOM, &self.at.to_string(), &body, draft).await
    }
}

/// Notes what came of it.
struct Conclude {
    permit: Permit,
    at: SecretRef,
    intent: IntentId,
    outcome: IntentOutcome,
}

#[async_trait]
impl Unit for Conclude {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let draft = Draft::act("rotation.rotated").secret(&self.at.environment, &self.at.name);
        work.close_intent(self.intent, self.outcome, draft).await
    }
}

/// Notes that the password before is worth nothing any more.
struct End {
    permit: Permit,
    at: SecretRef,
    lead: String,
    declared: Arc<Snapshot>,
}

#[async_trait]
impl Unit for End {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let facts = TaskFacts::read(&mut *work, &self.lead).await?.filter(TaskFacts::is_open);
        let facts = facts.ok_or_else(|| Problem::conflict("the task is closed"))?;
        let place = facts.places.iter().find(|place| place.at == self.at);
        let place = place.ok_or_else(|| Problem::conflict("the task is about another secret now"))?;
        if facts.obstacles_at(&self.declared, place) != [Obstacle::StillValid] {
            return Err(Problem::conflict(format!("the value of '{}' has changed meanwhile", self.at)));
        }
        end_old_value(work, place, &self.permit.principal().to_string()).await?;
        work.record(
            Draft::act("rotation.old-value-ended")
                .secret(&self.at.environment, &self.at.name)
                .with("task", self.lead.as_str())
                .with("version", place.secret.version.clone()),
        );
        Ok(())
    }
}
