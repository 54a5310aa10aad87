//! What a connection's `active` does to a person.

use crate::{
    audit::{Draft, Work},
    base::{Problem, Result, ids::PersonId},
    identity::{
        removal::{Removals, Removed},
        scim::{Connection, ScimParts},
    },
    notify::Outbox,
    policy::PersonStatus,
};

/// Changes people's statuses for a connection.
#[derive(Clone)]
pub(in crate::identity::scim) struct Statuses {
    removals: Removals,
    outbox: Outbox,
}

/// How somebody stands before her connection says something.
pub(in crate::identity::scim) struct Standing {
    /// Her person, once she is linked.
    pub(in crate::identity::scim) person: Option<PersonId>,
    /// What she is here, once she is linked.
    pub(in crate::identity::scim) status: Option<PersonStatus>,
    /// What the connection said last.
    pub(in crate::identity::scim) active: bool,
}

impl Statuses {
    pub(in crate::identity::scim) fn of(parts: &ScimParts) -> Self {
        Self { removals: parts.removals.clone(), outbox: parts.outbox.clone() }
    }

    /// Does what `active` says. A refusal that has to stay in the log is the inner problem.
    pub(in crate::identity::scim) async fn set(
        &self,
        work: &mut Work<'_>,
        connection: &Connection,
        user: &str,
        was: &Standing,
        active: bool,
    ) -> Result<Result<()>> {
        match (was.person, was.status, active) {
            (Some(person), Some(status), true) => {
                self.bring_back(work, connection, person, status).await.map(Ok)
            }
            // She is out already, and was by this connection.
            (Some(_), Some(status), false) if status != PersonStatus::Active && !was.active => Ok(Ok(())),
            (Some(person), _, false) => self.take_away(work, connection, person).await,
            (None, _, false) if was.active => self.tell_unlinked(work, connection, user).await.map(Ok),
            _ => Ok(Ok(())),
        }
    }

    async fn bring_back(
        &self,
        work: &mut Work<'_>,
        connection: &Connection,
        person: PersonId,
        status: PersonStatus,
    ) -> Result<()> {
        let because = "active: true";
        match status {
            PersonStatus::Active => {}
            PersonStatus::Suspended => {
                let cause = connection.cause(work).await?;
                self.removals.resume_in(work, person, &cause, because).await?;
            }
            PersonStatus::Deactivated if connection.may_reactivate => {
                let cause = connection.cause(work).await?;
                self.removals.reactivate_in(work, person, &cause, because).await?;
            }
            PersonStatus::Deactivated => {
                return Err(Problem::conflict(format!(
                    "{person} is deactivated, and the connection '{}' may not bring anybody back",
                    connection.name
                ))
                .remedy("An administrator can: `portctl person reactivate`."));
            }
        }
        Ok(())
    }

    async fn take_away(
        &self,
        work: &mut Work<'_>,
        connection: &Connection,
        person: PersonId,
    ) -> Result<Result<()>> {
        let cause = connection.cause(work).await?;
        match self.removals.deactivate_in(work, person, &cause, "active: false").await? {
            // What is recorded of it has to stay.
            Removed::Kept => Ok(Err(Problem::conflict(format!(
                "{person} is an administrator whom a connection cannot take away; administrators are told"
            ))
            .remedy("An administrator can: `portctl person deactivate`.")
            .with("kept", true))),
            _ => Ok(Ok(())),
        }
    }

    /// Nobody here is known to be meant: somebody has to look.
    async fn tell_unlinked(&self, work: &mut Work<'_>, connection: &Connection, user: &str) -> Result<()> {
        work.record(
            Draft::act("scim.unlinked-deactivated").resource(user).with("provider", connection.name.as_str()),
        );
        let told = serde_json::json!({ "connection": connection.name, "user": user });
        self.outbox.enqueue(work, "scim.unlinked-deactivated", &told).await
    }
}
