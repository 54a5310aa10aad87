//! Giving back: undoing a suspension, and bringing back who was deactivated. Acts of their own, with their
//! own entries. A connection undoes only what it did.

use super::{
    Cause, Removals, Source, Verdict, cause_of, held,
    row::{set_status, standing},
};
use crate::{
    audit::{Draft, Work},
    base::{Problem, Result, ids::PersonId},
    identity::sessions::move_facts,
    policy::PersonStatus,
    store::sql,
};

impl Removals {
    /// Undoes a suspension. What she is then: a connection gives back what it found, which may be an
    /// administrator's suspension.
    ///
    /// # Errors
    /// `not-found`; `conflict` where she is not suspended, or a connection did not suspend her.
    pub async fn resume_in(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        cause: &Cause,
        reason: &str,
    ) -> Result<PersonStatus> {
        let was = held::check_suspended(work, person).await?;
        if let Cause::Source(source) = cause {
            check_own(person, source, was.as_deref(), "suspended")?;
            if let Some(status) = self.take_back(work, person, &cause.to_string(), reason).await? {
                return Ok(status);
            }
        } else {
            held::settle(work, person, Verdict::Reject, &cause.to_string(), reason).await?;
        }
        set_status(work, person, PersonStatus::Active, None).await?;
        move_facts(work, person).await?;
        work.record(
            Draft::act("person.resumed")
                .subject(person)
                .resource(person)
                .reason(reason)
                .with("was", PersonStatus::Suspended.as_str()),
        );
        Ok(PersonStatus::Active)
    }

    /// Brings back somebody who was deactivated: the person, and nothing that she held. What she is then.
    ///
    /// # Errors
    /// `not-found`; `conflict` where she is not deactivated, a connection did not deactivate her, or what
    /// she held is still being taken away: it would come back with her.
    pub async fn reactivate_in(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        cause: &Cause,
        reason: &str,
    ) -> Result<PersonStatus> {
        let was = standing(work, person).await?;
        if was.status != PersonStatus::Deactivated {
            return Err(Problem::conflict(format!("{person} ({}) is not deactivated", was.status.as_str())));
        }
        let mut before = None;
        if let Cause::Source(source) = cause {
            check_own(person, source, was.cause.as_deref(), "deactivated")?;
            before = held::before(work, person, &source.connection).await?;
        }
        check_nothing_held(work, person).await?;
        set_status(work, person, PersonStatus::Active, None).await?;
        move_facts(work, person).await?;
        work.record(
            Draft::act("person.reactivated")
                .subject(person)
                .resource(person)
                .reason(reason)
                .with("was", PersonStatus::Deactivated.as_str()),
        );
        match before {
            Some((PersonStatus::Suspended, cause)) => suspended_again(work, person, cause).await,
            _ => Ok(PersonStatus::Active),
        }
    }
}

/// Somebody else had suspended her before the connection removed her: that still stands.
async fn suspended_again(
    work: &mut Work<'_>,
    person: PersonId,
    cause: Option<String>,
) -> Result<PersonStatus> {
    set_status(work, person, PersonStatus::Suspended, cause.as_deref()).await?;
    work.record(
        Draft::act("person.suspended")
            .subject(person)
            .resource(person)
            .with("was", PersonStatus::Active.as_str())
            .with("suspended_before_by", cause),
    );
    Ok(PersonStatus::Suspended)
}

fn check_own(person: PersonId, source: &Source, cause: Option<&str>, what: &str) -> Result<()> {
    if cause == Some(cause_of(&source.connection).as_str()) {
        return Ok(());
    }
    Err(Problem::conflict(format!(
        "{person} was not {what} by connection '{}', which undoes only what it did",
        source.connection
    ))
    .remedy("An administrator can: `portctl person resume` or `portctl person reactivate`."))
}

/// Whatever she held has to have ended, so that it does not come back with her.
async fn check_nothing_held(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let found: Option<(i64,)> = work
        .fetch_optional(
            sql("SELECT CAST((SELECT count(*) FROM grants WHERE person = $1 AND ended_at IS NULL) \
                 + (SELECT count(*) FROM requests WHERE person = $1 AND state = 'pending') AS BIGINT)")
            .bind(person),
        )
        .await?;
    match found.map_or(0, |(n,)| n) {
        0 => Ok(()),
        n => Err(Problem::conflict(format!("{n} things that {person} held are still being taken away"))
            .remedy("Try again in a moment; `portctl leaver show` says what is left.")),
    }
}
