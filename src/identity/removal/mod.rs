//! Taking everything from a person, or letting nothing work for her, inside any unit of work: an
//! administrator's command, a connection of SCIM, a signal.
//!
//! Whatever takes people away goes through here, so that three things hold wherever it comes from: the last
//! administrator stays; her row says who did it; and a connection that removes many people at once is
//! stopped by the breaker ([`breaker`]): those beyond its limit are suspended in the same commit, and only
//! what cannot be undone waits for an administrator.

mod administrators;
mod breaker;
mod expected;
mod held;
mod returning;
mod row;

use std::{fmt, sync::Arc};

pub(super) use breaker::COUNTS;
pub use breaker::RemovalLimit;
pub use expected::{Announcement, Expected};
pub use held::{DecidedOn, Held, Verdict};

use self::{
    administrators::Standing,
    breaker::Passage,
    row::{NewRemoval, set_status, standing},
};
use super::sessions::{end_all, move_facts};
use crate::{
    audit::{Draft, Work},
    base::{
        Name, Problem, Result,
        config::AdministratorGroup,
        ids::{PersonId, RemovalBatchId},
    },
    notify::Outbox,
    policy::{PersonStatus, Principal},
};

/// A source of people: a connection, and how many it may remove before somebody is asked.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub connection: Name,
    /// How many of its people are active now and count, read in the unit of work at hand: see `COUNTS`.
    pub people: i64,
    /// What passes without anybody being asked.
    pub limit: RemovalLimit,
}

/// Who takes something from a person, or gives it back.
#[derive(Clone, Debug)]
pub enum Cause {
    /// Somebody who may, by herself or as one of our own services.
    Principal(Principal),
    /// A source of people.
    Source(Source),
}

impl Cause {
    const fn source(&self) -> Option<&Source> {
        match self {
            Self::Source(source) => Some(source),
            Self::Principal(_) => None,
        }
    }
}

impl fmt::Display for Cause {
    /// As a person's row names it: `per_…`, `connection/okta`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(principal) => write!(f, "{principal}"),
            Self::Source(source) => f.write_str(&cause_of(&source.connection)),
        }
    }
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// She is deactivated.
    Deactivated {
        /// How many sessions ended with it.
        sessions_ended: u64,
    },
    /// She is suspended.
    Suspended,
    /// She is suspended, and the rest waits for an administrator: too many were removed at once.
    Held,
    /// There was nothing left to take: she is suspended or deactivated already.
    Already,
    /// She is an administrator and stays, which is recorded and told. Whoever asked has to be told, too.
    Kept,
}

/// Takes people away. Cheap to clone.
#[derive(Clone)]
pub struct Removals {
    administrators: Arc<[AdministratorGroup]>,
    outbox: Outbox,
}

impl Removals {
    /// Keeps the people of these groups from being removed by mistake, and tells of what is held.
    #[must_use]
    pub fn new(administrators: Arc<[AdministratorGroup]>, outbox: Outbox) -> Self {
        Self { administrators, outbox }
    }

    /// Takes everything from `person`: from the commit on nothing that she held works.
    ///
    /// # Errors
    /// `not-found`; `conflict` where a principal takes the last active administrator. What a connection may
    /// not do is no error: it is recorded, and said by [`Removed`].
    pub async fn deactivate_in(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        cause: &Cause,
        reason: &str,
    ) -> Result<Removed> {
        let mut was = standing(work, person).await?;
        if was.status == PersonStatus::Deactivated {
            return Ok(Removed::Already);
        }
        let Some(source) = cause.source() else {
            self.keep_the_last(work, person, was.status).await?;
            held::settle(work, person, Verdict::Release, &cause.to_string(), reason).await?;
            let draft = Draft::act("person.deactivated");
            return take(work, person, &cause.to_string(), reason, draft).await;
        };
        if held::is_held(work, person).await? {
            return Ok(Removed::Held);
        }
        // What the same connection did before is undone together with this.
        was.forget_own(&cause.to_string());
        let passage = breaker::passage(work, source).await?;
        if let Some(why) = self.stays(work, person, was.status, &passage).await? {
            return self.keep(work, person, cause, reason, why).await;
        }
        match passage {
            Passage::Free { expected } => {
                if let Some(expected) = expected {
                    breaker::use_up(work, expected).await?;
                }
                let removal = NewRemoval { person, source, was: &was, expected, batch: None };
                removal.insert(work).await?;
                take(work, person, &cause.to_string(), reason, Draft::act("person.deactivated")).await
            }
            Passage::Held { batch, is_new } => {
                let removal = NewRemoval { person, source, was: &was, expected: None, batch: Some(batch) };
                self.hold(work, &removal, reason, batch).await?;
                if is_new {
                    self.tell_held(work, source, batch).await?;
                }
                Ok(Removed::Held)
            }
        }
    }

    /// Suspends her at once; what cannot be undone waits.
    async fn hold(
        &self,
        work: &mut Work<'_>,
        removal: &NewRemoval<'_>,
        reason: &str,
        batch: RemovalBatchId,
    ) -> Result<()> {
        removal.insert(work).await?;
        let cause = cause_of(&removal.source.connection);
        set_status(work, removal.person, PersonStatus::Suspended, Some(&cause)).await?;
        move_facts(work, removal.person).await?;
        work.record(
            Draft::act("person.suspended")
                .subject(removal.person)
                .resource(removal.person)
                .reason(reason)
                .with("was", removal.was.status.as_str())
                .with("held", batch.to_string()),
        );
        Ok(())
    }

    /// Lets nothing work for `person`, and takes nothing away.
    ///
    /// # Errors
    /// As [`Self::deactivate_in`].
    pub async fn suspend_in(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        cause: &Cause,
        reason: &str,
    ) -> Result<Removed> {
        let was = standing(work, person).await?;
        if was.status != PersonStatus::Active {
            return Ok(Removed::Already);
        }
        if cause.source().is_none() {
            self.keep_the_last(work, person, was.status).await?;
        } else if self.standing_of(work, person).await? == Standing::Last {
            return self.keep(work, person, cause, reason, Standing::Last).await;
        }
        set_status(work, person, PersonStatus::Suspended, Some(&cause.to_string())).await?;
        move_facts(work, person).await?;
        work.record(
            Draft::act("person.suspended")
                .subject(person)
                .resource(person)
                .reason(reason)
                .with("was", was.status.as_str()),
        );
        Ok(Removed::Suspended)
    }

    /// Leaves an administrator alone, and says so everywhere.
    async fn keep(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        cause: &Cause,
        reason: &str,
        why: Standing,
    ) -> Result<Removed> {
        work.record(
            Draft::refused("person.deactivated")
                .subject(person)
                .resource(person)
                .reason(reason)
                .with("denial", why.as_str()),
        );
        let told = serde_json::json!({
            "person": person, "by": cause.to_string(), "because": why.as_str(),
        });
        self.outbox.enqueue(work, "removal.refused", &told).await?;
        Ok(Removed::Kept)
    }

    async fn tell_held(&self, work: &mut Work<'_>, source: &Source, batch: RemovalBatchId) -> Result<()> {
        let told = serde_json::json!({
            "connection": source.connection, "batch": batch, "passes": source.limit.of(source.people),
        });
        self.outbox.enqueue(work, "removal.held", &told).await
    }

    /// Why a connection may not take her, where that is so.
    async fn stays(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        was: PersonStatus,
        passage: &Passage,
    ) -> Result<Option<Standing>> {
        if was != PersonStatus::Active {
            return Ok(None);
        }
        let standing = self.standing_of(work, person).await?;
        let stays = match passage {
            Passage::Free { .. } => standing == Standing::Last,
            Passage::Held { .. } => standing != Standing::None,
        };
        Ok(stays.then_some(standing))
    }

    /// Refuses to take the last active administrator.
    async fn keep_the_last(&self, work: &mut Work<'_>, person: PersonId, was: PersonStatus) -> Result<()> {
        if was != PersonStatus::Active || self.standing_of(work, person).await? != Standing::Last {
            return Ok(());
        }
        Err(Problem::conflict(format!("{person} is the last active administrator: nobody would be left"))
            .remedy(
                "Let another person of the groups in `administrators` of the server's configuration sign in first, or \
                 add a group there.",
            ))
    }
}

/// A connection, as a person's row names it.
fn cause_of(connection: &Name) -> String {
    format!("connection/{connection}")
}

/// Deactivates, with `draft` as the entry.
async fn take(
    work: &mut Work<'_>,
    person: PersonId,
    cause: &str,
    reason: &str,
    draft: Draft,
) -> Result<Removed> {
    let was = standing(work, person).await?;
    set_status(work, person, PersonStatus::Deactivated, Some(cause)).await?;
    let sessions_ended = end_all(work, person, "deactivated").await?;
    move_facts(work, person).await?;
    work.record(
        draft
            .subject(person)
            .resource(person)
            .reason(reason)
            .with("was", was.status.as_str())
            .with("sessions_ended", sessions_ended),
    );
    Ok(Removed::Deactivated { sessions_ended })
}
