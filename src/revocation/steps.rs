//! The steps, each a unit of its own: finding those to take, and taking one.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Revocation, leaver, rotation, tell::Messages};
use crate::{
    access::{end_grant, move_facts, stored, withdraw},
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, Result,
        ids::{GrantId, LeaseId, PersonId, RequestId, RotationTaskId, SecretId, SessionId},
    },
    catalog::Snapshot,
    policy::Permit,
    secrets::end_lease,
    store::{Database, Query, sql},
};

/// One thing to do about a leaver.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Note that she has left.
    Begin(PersonId),
    /// End a session that is still there.
    EndSession(PersonId, SessionId),
    /// Withdraw a request that is still pending.
    WithdrawRequest(PersonId, RequestId),
    /// End a grant that is still there.
    EndGrant(PersonId, GrantId),
    /// Begin to take a lease back; the engine may take its time, and nothing else waits for it.
    RevokeLease(PersonId, LeaseId),
    /// Open a rotation task, or add a cause to the open one: she knows a value that is in use.
    OpenTask { person: PersonId, secret: SecretId, fingerprint: Vec<u8> },
    /// Close a rotation task, if nothing stands in its way.
    CloseTask(RotationTaskId),
    /// Note that something is left again.
    Reopen(PersonId),
    /// Note that nothing is left.
    Finish(PersonId),
    /// Note that she has come back, whatever was left.
    CameBack(PersonId),
}

impl Step {
    /// What sort of step it is, as it is stored and shown.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::EndSession(..) => "end-session",
            Self::WithdrawRequest(..) => "withdraw-request",
            Self::EndGrant(..) => "end-grant",
            Self::RevokeLease(..) => "revoke-lease",
            Self::OpenTask { .. } => "open-rotation",
            Self::CloseTask(_) => "close-rotation",
            Self::Reopen(_) => "reopen",
            Self::Finish(_) => "finish",
            Self::CameBack(_) => "came-back",
        }
    }

    /// What it is about.
    pub(super) fn thing(&self) -> String {
        match self {
            Self::Begin(person) | Self::Reopen(person) | Self::Finish(person) | Self::CameBack(person) => {
                person.to_string()
            }
            Self::EndSession(_, session) => session.to_string(),
            Self::WithdrawRequest(_, request) => request.to_string(),
            Self::EndGrant(_, grant) => grant.to_string(),
            Self::RevokeLease(_, lease) => lease.to_string(),
            Self::OpenTask { secret, .. } => secret.to_string(),
            Self::CloseTask(task) => task.to_string(),
        }
    }

    /// Whose it is, where it is one leaver's.
    pub(super) const fn person(&self) -> Option<PersonId> {
        match self {
            Self::Begin(person)
            | Self::EndSession(person, _)
            | Self::WithdrawRequest(person, _)
            | Self::EndGrant(person, _)
            | Self::RevokeLease(person, _)
            | Self::OpenTask { person, .. }
            | Self::Reopen(person)
            | Self::Finish(person)
            | Self::CameBack(person) => Some(*person),
            Self::CloseTask(_) => None,
        }
    }
}

/// A kind of step, in the order in which they are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Begin,
    EndSession,
    WithdrawRequest,
    EndGrant,
    RevokeLease,
    OpenTask,
    CloseTask,
    Reopen,
    Finish,
    CameBack,
}

pub(super) const KINDS: [Kind; 10] = [
    Kind::CameBack,
    Kind::Begin,
    Kind::EndSession,
    Kind::WithdrawRequest,
    Kind::EndGrant,
    Kind::RevokeLease,
    Kind::OpenTask,
    Kind::CloseTask,
    Kind::Reopen,
    Kind::Finish,
];

/// A leaver and what it is about.
#[derive(sqlx::FromRow)]
struct Found {
    person: String,
    thing: String,
    fingerprint: Option<Vec<u8>>,
}

/// Columns of [`Found`] for what has no fingerprint: typed, because PostgreSQL wants to know.
macro_rules! found {
    ($person:literal, $thing:literal, $rest:literal) => {
        sql(concat!(
            "SELECT ",
            $person,
            " AS person, ",
            $thing,
            " AS thing, CAST(NULL AS BLOB) AS fingerprint ",
            $rest
        ))
    };
}

impl Kind {
    fn query(self, declared: &Snapshot) -> Option<Query> {
        Some(match self {
            Self::Begin => found!(
                "p.id",
                "p.id",
                "FROM people p LEFT JOIN leavers l ON l.person = p.id AND l.since = p.status_since \
                 WHERE p.status = 'deactivated' AND l.person IS NULL LIMIT 256"
            ),
            Self::EndSession => found!(
                "p.id",
                "s.id",
                "FROM people p JOIN sessions s ON s.person = p.id \
                 WHERE p.status = 'deactivated' AND s.ended_at IS NULL LIMIT 256"
            ),
            Self::WithdrawRequest => found!(
                "p.id",
                "r.id",
                "FROM people p JOIN requests r ON r.person = p.id \
                 WHERE p.status = 'deactivated' AND r.state = 'pending' LIMIT 256"
            ),
            Self::EndGrant => found!(
                "p.id",
                "g.id",
                "FROM people p JOIN grants g ON g.person = p.id \
                 WHERE p.status = 'deactivated' AND g.ended_at IS NULL LIMIT 256"
            ),
            Self::RevokeLease => found!(
                "p.id",
                "i.id",
                "FROM people p JOIN leases i ON i.principal = p.id \
                 WHERE p.status = 'deactivated' AND i.state = 'live' LIMIT 256"
            ),
            Self::OpenTask => rotation::to_open(None, None, declared),
            Self::Reopen => leaver::to_reopen(declared),
            Self::CameBack => found!(
                "l.person",
                "l.person",
                "FROM leavers l JOIN people p ON p.id = l.person \
                 WHERE l.closed_at IS NULL AND (p.status <> 'deactivated' OR p.status_since <> l.since) LIMIT 256"
            ),
            Self::CloseTask | Self::Finish => return None,
        })
    }

    /// Steps of this kind that there are to take.
    pub(super) async fn find(self, database: &Database, declared: &Snapshot) -> Result<Vec<Step>> {
        match self.query(declared) {
            Some(query) => {
                let rows: Vec<Found> = database.fetch_all(query).await?;
                rows.into_iter().map(|row| self.step(row)).collect()
            }
            None if matches!(self, Self::Finish) => {
                Ok(leaver::through(database, declared).await?.into_iter().map(Step::Finish).collect())
            }
            None => {
                Ok(rotation::closable(database, declared).await?.into_iter().map(Step::CloseTask).collect())
            }
        }
    }

    fn step(self, row: Found) -> Result<Step> {
        Ok(match self {
            Self::Begin => Step::Begin(stored(&row.person)?),
            Self::CameBack => Step::CameBack(stored(&row.person)?),
            Self::Reopen => Step::Reopen(stored(&row.person)?),
            Self::EndSession => Step::EndSession(stored(&row.person)?, stored(&row.thing)?),
            Self::WithdrawRequest => Step::WithdrawRequest(stored(&row.person)?, stored(&row.thing)?),
            Self::EndGrant => Step::EndGrant(stored(&row.person)?, stored(&row.thing)?),
            Self::RevokeLease => Step::RevokeLease(stored(&row.person)?, stored(&row.thing)?),
            Self::OpenTask => Step::OpenTask {
                person: stored(&row.person)?,
                secret: stored(&row.thing)?,
                fingerprint: row.fingerprint.unwrap_or_default(),
            },
            Self::CloseTask | Self::Finish => {
                return Err(Problem::internal("this kind of step is found otherwise"));
            }
        })
    }
}

/// Takes one step, if it is still to be taken.
pub(super) struct Take {
    pub(super) permit: Permit,
    pub(super) step: Step,
    pub(super) declared: Arc<Snapshot>,
    /// What is told once it is taken.
    pub(super) messages: Messages,
    pub(super) revocation: Revocation,
}

#[async_trait]
impl Unit for Take {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        match &self.step {
            Step::Begin(person) => {
                leaver::begin(work, *person).await?;
                self.messages.enqueue(&self.revocation, work).await
            }
            Step::EndSession(person, session) => {
                check_left(work, *person).await?;
                end_session(work, *person, *session).await
            }
            Step::WithdrawRequest(person, request) => {
                check_left(work, *person).await?;
                withdraw(work, *request).await?;
                move_facts(work, *person).await
            }
            Step::EndGrant(person, grant) => {
                check_left(work, *person).await?;
                end_grant(work, *grant, "deactivated").await
            }
            Step::RevokeLease(person, lease) => {
                check_left(work, *person).await?;
                end_lease(work, *lease, "deactivated").await
            }
            Step::OpenTask { person, secret, fingerprint } => {
                rotation::open(work, &self.declared, *person, *secret, fingerprint).await
            }
            Step::CloseTask(task) => rotation::close(work, &self.declared, *task).await,
            Step::Reopen(person) => leaver::reopen(work, &self.declared, *person).await,
            Step::Finish(person) => leaver::finish(work, &self.declared, *person).await,
            Step::CameBack(person) => leaver::came_back(work, *person).await,
        }
    }
}

/// Somebody may have been brought back since the look: then nothing is taken from her.
async fn check_left(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let found: Option<(String,)> = work
        .fetch_optional(sql("SELECT id FROM people WHERE id = $1 AND status = 'deactivated'").bind(person))
        .await?;
    found.map(|_| ()).ok_or_else(|| Problem::conflict(format!("{person} has not left")))
}

async fn end_session(work: &mut Work<'_>, person: PersonId, session: SessionId) -> Result<()> {
    let touched = work
        .execute(
            sql("UPDATE sessions SET ended_at = $2, ended_because = 'deactivated' WHERE id = $1 AND ended_at IS NULL")
                .bind(session)
                .bind(work.now()),
        )
        .await?;
    if touched == 0 {
        return Err(Problem::conflict(format!("the session {session} has ended already")));
    }
    move_facts(work, person).await?;
    work.record(Draft::act("session.ended").subject(person).resource(session).with("because", "deactivated"));
    Ok(())
}
