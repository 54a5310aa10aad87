//! Suspending, resuming, deactivating and signing out. What is committed here is dead everywhere from
//! that commit on, because every use of anything is joined with the person's status.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Identity, PersonAddress,
    people::find_in,
    sessions::{end_all, move_facts},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result, config::AdministratorGroup, ids::PersonId},
    policy::{Action, Permit, PersonStatus},
    store::sql,
};

/// The cause of a suspension that the person's identity provider ends by signing her in: the database was
/// set back, so what was true of her has to be said again.
pub const UNTIL_HER_PROVIDER_SPOKE: &str = "until-her-provider-spoke";

/// What is to become of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusChange {
    /// Nothing works, nothing is taken away.
    Suspend,
    /// Undoes a suspension.
    Resume,
    /// Everything is taken away.
    Deactivate,
    /// All sessions end; the person may sign in again.
    SignOut,
}

/// What became of her.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChanged {
    /// Who.
    pub person: PersonId,
    /// What she is now.
    pub status: PersonStatus,
    /// How many sessions ended.
    pub sessions_ended: u64,
}

impl Identity {
    /// Takes everything from a person. One commit: from it on nothing that she held works, and signing
    /// in again brings nothing back.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`; `conflict` where she is deactivated already, or is the last active
    /// person in the groups of `administrators`.
    pub async fn deactivate(
        &self,
        permit: Permit,
        whom: &PersonAddress,
        reason: &str,
    ) -> Result<StatusChanged> {
        self.change_status(permit, whom, StatusChange::Deactivate, reason).await
    }

    /// Makes nothing work for a person, and takes nothing away.
    ///
    /// # Errors
    /// As [`Self::deactivate`].
    pub async fn suspend(&self, permit: Permit, whom: &PersonAddress, reason: &str) -> Result<StatusChanged> {
        self.change_status(permit, whom, StatusChange::Suspend, reason).await
    }

    /// Undoes a suspension.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`; `conflict` where she is not suspended.
    pub async fn resume(&self, permit: Permit, whom: &PersonAddress, reason: &str) -> Result<StatusChanged> {
        self.change_status(permit, whom, StatusChange::Resume, reason).await
    }

    /// Ends all sessions of a person.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`.
    pub async fn sign_out(
        &self,
        permit: Permit,
        whom: &PersonAddress,
        reason: &str,
    ) -> Result<StatusChanged> {
        self.change_status(permit, whom, StatusChange::SignOut, reason).await
    }

    /// Does one of the four.
    ///
    /// # Errors
    /// As the four; `invalid-request` without a reason.
    pub async fn change_status(
        &self,
        permit: Permit,
        whom: &PersonAddress,
        change: StatusChange,
        reason: &str,
    ) -> Result<StatusChanged> {
        permit.expect(Action::ManagePeople)?;
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        self.log
            .perform(ChangeStatus {
                permit,
                whom: whom.clone(),
                change,
                reason: reason.to_owned(),
                administrators: Arc::clone(&self.administrators),
            })
            .await
    }
}

struct ChangeStatus {
    permit: Permit,
    whom: PersonAddress,
    change: StatusChange,
    reason: String,
    administrators: Arc<[AdministratorGroup]>,
}

#[async_trait]
impl Unit for ChangeStatus {
    type Output = StatusChanged;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<StatusChanged> {
        let person = find_in(work, &self.whom).await?;
        let status = self
            .change
            .from(person.status)
            .map_err(|why| Problem::conflict(format!("{} ({}) {why}", person.id, person.status.as_str())))?;
        if person.status == PersonStatus::Active && status != PersonStatus::Active {
            self.keep_an_administrator(work, person.id).await?;
        }
        if status != person.status {
            self.write_status(work, person.id, status).await?;
        }
        let sessions_ended = match self.change {
            StatusChange::Deactivate => end_all(work, person.id, "deactivated").await?,
            StatusChange::SignOut => end_all(work, person.id, "signed-out").await?,
            StatusChange::Suspend | StatusChange::Resume => 0,
        };
        move_facts(work, person.id).await?;
        work.record(
            Draft::act(self.change.entry())
                .subject(person.id)
                .resource(person.id)
                .reason(&self.reason)
                .with("was", person.status.as_str())
                .with("sessions_ended", sessions_ended),
        );
        Ok(StatusChanged { person: person.id, status, sessions_ended })
    }
}

impl ChangeStatus {
    async fn write_status(&self, work: &mut Work<'_>, person: PersonId, status: PersonStatus) -> Result<()> {
        let cause = (status != PersonStatus::Active).then(|| self.permit.principal().to_string());
        work.execute(
            sql("UPDATE people SET status = $2, status_cause = $3, status_since = $4 WHERE id = $1")
                .bind(person)
                .bind(status.as_str())
                .bind(cause)
                .bind(work.now()),
        )
        .await?;
        Ok(())
    }

    /// Whoever is the last active person in the groups of `administrators` stays. Read inside the unit:
    /// two who take each other away at one instant are settled by the log's order.
    async fn keep_an_administrator(&self, work: &mut Work<'_>, person: PersonId) -> Result<()> {
        let mut is_one = false;
        for group in self.administrators.iter() {
            let others = in_group(work, group, person, "<>").await?;
            if others {
                return Ok(());
            }
            is_one = is_one || in_group(work, group, person, "=").await?;
        }
        if !is_one {
            return Ok(());
        }
        Err(Problem::conflict(format!("{person} is the last active administrator: nobody would be left"))
            .remedy(
                "Let another person of the groups in `administrators` of the server's configuration sign in first, or \
                 add a group there.",
            ))
    }
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

/// Whether an active person is in `group`: the one meant, or another than her.
async fn in_group(
    work: &mut Work<'_>,
    group: &AdministratorGroup,
    person: PersonId,
    comparison: &'static str,
) -> Result<bool> {
    let text = format!(
        "SELECT CAST(count(*) AS BIGINT) AS n FROM memberships m JOIN people p ON p.id = m.person \
         WHERE m.source = $1 AND m.group_id = $2 AND p.status = 'active' AND p.id {comparison} $3"
    );
    let args = vec![group.provider.as_str().into(), group.id.as_str().into(), person.into()];
    let count: Option<Count> = work.fetch_optional(crate::store::Query::composed(text, args)).await?;
    Ok(count.is_some_and(|count| count.n > 0))
}

impl StatusChange {
    /// What she becomes, or why that cannot be.
    fn from(self, status: PersonStatus) -> Result<PersonStatus, &'static str> {
        match (self, status) {
            (Self::Suspend, PersonStatus::Active) => Ok(PersonStatus::Suspended),
            (Self::Resume, PersonStatus::Suspended) => Ok(PersonStatus::Active),
            (Self::Deactivate, PersonStatus::Active | PersonStatus::Suspended) => {
                Ok(PersonStatus::Deactivated)
            }
            (Self::SignOut, status) => Ok(status),
            (Self::Suspend, _) => Err("cannot be suspended"),
            (Self::Resume, _) => Err("is not suspended"),
            (Self::Deactivate, _) => Err("is deactivated already"),
        }
    }

    /// The action of its entry.
    const fn entry(self) -> &'static str {
        match self {
            Self::Suspend => "person.suspended",
            Self::Resume => "person.resumed",
            Self::Deactivate => "person.deactivated",
            Self::SignOut => "person.signed-out",
        }
    }
}
