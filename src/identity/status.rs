//! Suspending, resuming, deactivating, reactivating and signing out, as an administrator does them. What is committed here is dead everywhere from
//! that commit on, because every use of anything is joined with the person's status.

use async_trait::async_trait;

use super::{
    Identity, PersonAddress,
    people::find_in,
    removal::{Cause, Removals, Removed},
    sessions::{end_all, move_facts},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result, ids::PersonId},
    policy::{Action, Permit, PersonStatus},
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
    /// Brings back who was deactivated: the person, and nothing that she held.
    Reactivate,
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

    /// Brings back somebody who was deactivated: the person, and nothing that she held.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`; `conflict` where she is not deactivated, or what she held is still being
    /// taken away.
    pub async fn reactivate(
        &self,
        permit: Permit,
        whom: &PersonAddress,
        reason: &str,
    ) -> Result<StatusChanged> {
        self.change_status(permit, whom, StatusChange::Reactivate, reason).await
    }

    /// Does one of the five.
    ///
    /// # Errors
    /// As the five; `invalid-request` without a reason.
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
                removals: self.removals.clone(),
            })
            .await
    }
}

struct ChangeStatus {
    permit: Permit,
    whom: PersonAddress,
    change: StatusChange,
    reason: String,
    removals: Removals,
}

#[async_trait]
impl Unit for ChangeStatus {
    type Output = StatusChanged;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<StatusChanged> {
        let person = find_in(work, &self.whom).await?;
        let (id, cause) = (person.id, Cause::Principal(self.permit.principal().clone()));
        let (status, sessions_ended) = match self.change {
            StatusChange::Suspend => {
                removed(id, person.status, self.removals.suspend_in(work, id, &cause, &self.reason).await?)?
            }
            StatusChange::Deactivate => removed(
                id,
                person.status,
                self.removals.deactivate_in(work, id, &cause, &self.reason).await?,
            )?,
            StatusChange::Resume => (self.removals.resume_in(work, id, &cause, &self.reason).await?, 0),
            StatusChange::Reactivate => {
                (self.removals.reactivate_in(work, id, &cause, &self.reason).await?, 0)
            }
            StatusChange::SignOut => (person.status, self.sign_out(work, id, person.status).await?),
        };
        Ok(StatusChanged { person: id, status, sessions_ended })
    }
}

impl ChangeStatus {
    async fn sign_out(&self, work: &mut Work<'_>, person: PersonId, status: PersonStatus) -> Result<u64> {
        let sessions_ended = end_all(work, person, "signed-out").await?;
        move_facts(work, person).await?;
        work.record(
            Draft::act("person.signed-out")
                .subject(person)
                .resource(person)
                .reason(&self.reason)
                .with("was", status.as_str())
                .with("sessions_ended", sessions_ended),
        );
        Ok(sessions_ended)
    }
}

/// What she is, and how many sessions ended; a conflict where there was nothing to do.
fn removed(person: PersonId, was: PersonStatus, removed: Removed) -> Result<(PersonStatus, u64)> {
    match removed {
        Removed::Deactivated { sessions_ended } => Ok((PersonStatus::Deactivated, sessions_ended)),
        Removed::Suspended | Removed::Held => Ok((PersonStatus::Suspended, 0)),
        Removed::Already | Removed::Kept => {
            let problem = Problem::conflict(format!("{person} is {} already", was.as_str()));
            Err(match was {
                PersonStatus::Deactivated => problem
                    .remedy(format!("`portctl leaver show {person}` says what is still being taken back.")),
                _ => problem,
            })
        }
    }
}
