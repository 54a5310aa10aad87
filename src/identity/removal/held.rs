//! What the breaker has held: listed, and released or rejected person by person.

use async_trait::async_trait;

use super::{Removals, row::set_status, row::standing, take};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result, Timestamp, ids::PersonId},
    identity::{Identity, caller::stored_id, sessions::move_facts},
    policy::{Action, Permit, PersonStatus},
    store::sql,
};

/// Somebody who is suspended because her connection removed too many at once.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who.
    pub person: PersonId,
    /// What she is called.
    pub display_name: String,
    /// Her address, for display.
    pub email: String,
    /// Which connection removed her.
    pub connection: String,
    /// What she was held with.
    pub batch: String,
    /// Since when.
    pub held_at: Timestamp,
}

/// What becomes of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// She has left: everything is taken away.
    Release,
    /// She has not: what the connection did is undone.
    Reject,
}

impl Verdict {
    const fn state(self) -> &'static str {
        match self {
            Self::Release => "released",
            Self::Reject => "rejected",
        }
    }
}

/// What became of somebody who was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedOn {
    /// Who.
    pub person: PersonId,
    /// What she is now.
    pub status: PersonStatus,
    /// Whether she has been brought back and her connection has her no more, because it deleted her: she is in
    /// none of its groups.
    pub outside: bool,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    person: String,
    display_name: String,
    email: String,
    connection: String,
    batch: String,
    at: i64,
}

/// A held removal that has just been decided on.
#[derive(sqlx::FromRow)]
pub(super) struct Settled {
    id: String,
    pub(super) connection: String,
    batch: String,
    pub(super) was_status: String,
    pub(super) was_cause: Option<String>,
}

impl Identity {
    /// Everybody who is held, those who were first; 1000 at most.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn held_removals(&self, permit: &Permit) -> Result<Vec<Held>> {
        permit.expect(Action::SeePeople)?;
        let rows: Vec<HeldRow> = self
            .database
            .fetch_all(sql("SELECT r.person, p.display_name, p.email, r.connection, r.batch, r.at \
                 FROM removals r JOIN people p ON p.id = r.person \
                 WHERE r.state = 'held' ORDER BY r.at, r.id LIMIT 1000"))
            .await?;
        rows.into_iter().map(Held::try_from).collect()
    }

    /// Everybody who is held, for whoever decides on all of them.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn held_people(&self, permit: &Permit) -> Result<Vec<PersonId>> {
        permit.expect(Action::ManagePeople)?;
        let rows: Vec<(String,)> = self
            .database
            .fetch_all(sql("SELECT person FROM removals WHERE state = 'held' ORDER BY at, id"))
            .await?;
        rows.iter().map(|(id,)| stored_id(id)).collect()
    }

    /// Decides on one person who is held.
    ///
    /// # Errors
    /// `conflict` where nothing of hers is held; `invalid-request` without a reason.
    pub async fn decide_held(
        &self,
        permit: Permit,
        person: PersonId,
        verdict: Verdict,
        reason: &str,
    ) -> Result<DecidedOn> {
        permit.expect(Action::ManagePeople)?;
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        let by = permit.principal().to_string();
        self.log.perform(Decide { permit, by, person, verdict, reason: reason.to_owned() }).await
    }
}

impl TryFrom<HeldRow> for Held {
    type Error = Problem;

    fn try_from(row: HeldRow) -> Result<Self> {
        Ok(Self {
            person: stored_id(&row.person)?,
            display_name: row.display_name,
            email: row.email,
            connection: row.connection,
            batch: row.batch,
            held_at: Timestamp::from_millis(row.at),
        })
    }
}

struct Decide {
    permit: Permit,
    by: String,
    person: PersonId,
    verdict: Verdict,
    reason: String,
}

#[async_trait]
impl Unit for Decide {
    type Output = DecidedOn;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<DecidedOn> {
        let settled = settle(work, self.person, self.verdict, &self.by, &self.reason).await?;
        let settled = settled.ok_or_else(|| {
            Problem::conflict(format!("no removal of {} is held", self.person))
                .remedy("`portctl leaver held` shows those that are.")
        })?;
        match self.verdict {
            Verdict::Release => self.release(work, &settled).await,
            Verdict::Reject => {
                let status = settled.undo(work, self.person, &self.reason).await?;
                let outside = !settled.has_her(work, self.person).await?;
                Ok(DecidedOn { person: self.person, status, outside })
            }
        }
    }
}

impl Decide {
    async fn release(&self, work: &mut Work<'_>, settled: &Settled) -> Result<DecidedOn> {
        let draft = Draft::act("person.deactivated")
            .with("released", settled.batch.as_str())
            .with("connection", settled.connection.as_str());
        take(work, self.person, &settled.cause(), &self.reason, draft).await?;
        Ok(DecidedOn { person: self.person, status: PersonStatus::Deactivated, outside: false })
    }
}

impl Settled {
    /// The connection, as a person's row names it.
    pub(super) fn cause(&self) -> String {
        format!("connection/{}", self.connection)
    }

    /// Whether the connection has her still.
    async fn has_her(&self, work: &mut Work<'_>, person: PersonId) -> Result<bool> {
        let found: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT id FROM scim_users WHERE person = $1 AND connection = $2 AND deleted_at IS NULL")
                    .bind(person)
                    .bind(&self.connection),
            )
            .await?;
        Ok(found.is_some())
    }

    /// Makes her what she was before the connection removed her.
    pub(super) async fn undo(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        reason: &str,
    ) -> Result<PersonStatus> {
        let status = PersonStatus::from_stored(&self.was_status);
        set_status(work, person, status, self.was_cause.as_deref()).await?;
        move_facts(work, person).await?;
        // Where she had been suspended before, she stays so: only what the connection did is undone.
        let action = if status == PersonStatus::Active { "person.resumed" } else { "removal.rejected" };
        work.record(
            Draft::act(action)
                .subject(person)
                .resource(person)
                .reason(reason)
                .with("was", PersonStatus::Suspended.as_str())
                .with("rejected", self.batch.as_str())
                .with("connection", self.connection.as_str()),
        );
        Ok(status)
    }
}

/// Whether a removal of hers is held.
pub(super) async fn is_held(work: &mut Work<'_>, person: PersonId) -> Result<bool> {
    let found: Option<(String,)> = work
        .fetch_optional(sql("SELECT id FROM removals WHERE person = $1 AND state = 'held'").bind(person))
        .await?;
    Ok(found.is_some())
}

/// Notes what became of the removal of hers that is held, if one is.
pub(super) async fn settle(
    work: &mut Work<'_>,
    person: PersonId,
    verdict: Verdict,
    by: &str,
    reason: &str,
) -> Result<Option<Settled>> {
    let found: Option<Settled> = work
        .fetch_optional(
            sql("SELECT id, connection, batch, was_status, was_cause FROM removals \
                 WHERE person = $1 AND state = 'held'")
            .bind(person),
        )
        .await?;
    let Some(settled) = found else { return Ok(None) };
    work.execute(
        sql("UPDATE removals SET state = $2, decided_at = $3, decided_by = $4, decided_because = $5 WHERE id = $1")
            .bind(&settled.id)
            .bind(verdict.state())
            .bind(work.now())
            .bind(by)
            .bind(reason),
    )
    .await?;
    Ok(Some(settled))
}

/// What she was when `connection` last removed her for good.
pub(super) async fn before(
    work: &mut Work<'_>,
    person: PersonId,
    connection: &Name,
) -> Result<Option<(PersonStatus, Option<String>)>> {
    let found: Option<(String, Option<String>)> = work
        .fetch_optional(
            sql("SELECT was_status, was_cause FROM removals WHERE person = $1 AND connection = $2 \
                 AND state IN ('done', 'released') ORDER BY at DESC, id DESC LIMIT 1")
            .bind(person)
            .bind(connection),
        )
        .await?;
    Ok(found.map(|(status, cause)| (PersonStatus::from_stored(&status), cause)))
}

impl Removals {
    /// Undoes a hold because whoever removed her takes it back.
    pub(super) async fn take_back(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        by: &str,
        reason: &str,
    ) -> Result<Option<PersonStatus>> {
        match settle(work, person, Verdict::Reject, by, reason).await? {
            Some(settled) => settled.undo(work, person, reason).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Refuses whoever is not suspended.
pub(super) async fn check_suspended(work: &mut Work<'_>, person: PersonId) -> Result<Option<String>> {
    let was = standing(work, person).await?;
    if was.status == PersonStatus::Suspended {
        return Ok(was.cause);
    }
    Err(Problem::conflict(format!("{person} ({}) is not suspended", was.status.as_str())))
}
