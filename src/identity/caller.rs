//! From a token to the person who calls, and what decisions rest on.

use std::{fmt, net::IpAddr, time::Duration};

use super::{Identity, SessionKind, UNTIL_HER_PROVIDER_SPOKE, WORKLOAD_TOKEN_PREFIX, token::hash_of};
use crate::{
    base::{
        Problem, ProblemKind, Result, Timestamp,
        ids::{PersonId, SessionId},
    },
    policy::PersonStatus,
    store::sql,
};

/// How often a session's last use is written at most.
const LAST_SEEN_EVERY: Duration = Duration::from_mins(1);

/// An authenticated person. `Debug` prints ids only.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub person: PersonId,
    /// By which session.
    pub session: SessionId,
    /// From where.
    pub network: Option<IpAddr>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({}, {})", self.person, self.session)
    }
}

/// What is held of a person and of the session that she calls by.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Who.
    pub person: PersonId,
    /// Whether anything works for her.
    pub status: PersonStatus,
    /// The version of her facts; read before the rest, so that a change in between is noticed.
    pub facts: i64,
    /// For display only.
    pub display_name: String,
    /// For display only; empty where nobody who may has asserted one.
    pub email: String,
    /// Her groups as their sources name them.
    pub memberships: Vec<GroupRow>,
    /// The session that she calls by.
    pub session: SessionFacts,
}

/// A group that a source says a person is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// The identity provider's name.
    pub source: String,
    /// The group as the source names it.
    pub group_id: String,
    /// When the source last said so.
    pub asserted_at: Timestamp,
}

/// What decisions rest on of a session.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// Which.
    pub id: SessionId,
    /// What sort; `recovery` gives the powers of administrators.
    pub kind: SessionKind,
    /// What the person knows it by.
    pub label: String,
    /// When she proved who she is.
    pub authenticated_at: Timestamp,
    /// When her identity provider last confirmed that the sign-in stands.
    pub confirmed_at: Timestamp,
    /// The authentication context class that her identity provider asserted.
    pub acr: Option<String>,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: String,
    person: String,
    status: String,
    status_cause: Option<String>,
    idle_millis: i64,
    created_at: i64,
    ends_at: i64,
    ended_at: Option<i64>,
    seen_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    status: String,
    facts: i64,
    display_name: String,
    email: String,
    kind: String,
    label: String,
    authenticated_at: i64,
    confirmed_at: i64,
    acr: Option<String>,
    ends_at: i64,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    source: String,
    group_id: String,
    asserted_at: i64,
}

impl Identity {
    /// Who holds `token`: hash, session, person and her status, read now.
    ///
    /// # Errors
    /// `unauthenticated` where the token is none of ours or its session has ended; `person-suspended`
    /// and `person-deactivated` where it belongs to such a person, `denied` where it is a workload's, which
    /// is recorded.
    pub async fn authenticate(&self, token: &str, network: Option<IpAddr>) -> Result<Caller> {
        if token.starts_with(WORKLOAD_TOKEN_PREFIX) {
            return Err(self.refuse_workload(token, network).await);
        }
        let row: Option<TokenRow> = self
            .database
            .fetch_optional(
                sql("SELECT s.id, s.person, p.status, p.status_cause, s.idle_millis, s.created_at, s.ends_at, s.ended_at, \
                     l.at AS seen_at FROM sessions s JOIN people p ON p.id = s.person \
                     LEFT JOIN last_seen l ON l.session = s.id WHERE s.token_hash = $1")
                .bind(hash_of(token.as_bytes())),
            )
            .await?;
        let row = row.ok_or_else(|| unauthenticated("the token is not one of a session here"))?;
        let (person, session) = (stored_id(&row.person)?, stored_id(&row.id)?);
        if row.status_cause.as_deref() == Some(UNTIL_HER_PROVIDER_SPOKE) {
            return Err(unauthenticated("your identity provider has to speak for you again"));
        }
        if let Err(problem) = may_act(PersonStatus::from_stored(&row.status)) {
            self.note_refusal(person, session, network, problem.kind).await;
            return Err(problem);
        }
        let now = self.ambient.now();
        if let Some(why) = row.over(now) {
            return Err(unauthenticated(why));
        }
        self.note_use(session, &row, now).await;
        Ok(Caller { person, session, network })
    }

    /// Writes when a session was last used, once a minute at most. Failing to do so only makes the
    /// session end earlier.
    async fn note_use(&self, session: SessionId, row: &TokenRow, now: Timestamp) {
        let every = LAST_SEEN_EVERY.min(row.idle() / 4);
        if now.since(row.last_use()) < every {
            return;
        }
        let written = self
            .database
            .write_unrecorded(
                "last_seen",
                sql("INSERT INTO last_seen (session, at) VALUES ($1, $2) \
                     ON CONFLICT (session) DO UPDATE SET at = excluded.at")
                .bind(session)
                .bind(now),
            )
            .await;
        if let Err(error) = written {
            tracing::warn!(%session, %error, "the last use of a session could not be noted");
        }
    }

    /// What is held of the caller. Access decides with it; nothing is remembered from before.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended since.
    pub async fn person_facts(&self, caller: &Caller) -> Result<PersonRow> {
        // The version first: whatever is read after it is at least as new.
        let row: Option<FactsRow> = self
            .database
            .fetch_optional(
                sql(
                    "SELECT p.status, p.facts, p.display_name, p.email, s.kind, s.label, s.authenticated_at, \
                     COALESCE(s.confirmed_at, s.created_at) AS confirmed_at, s.acr, s.ends_at FROM sessions s JOIN people p ON p.id = s.person \
                     WHERE s.id = $1 AND s.person = $2 AND s.ended_at IS NULL",
                )
                .bind(caller.session)
                .bind(caller.person),
            )
            .await?;
        let row = row.ok_or_else(|| unauthenticated("the session has ended"))?;
        Ok(PersonRow {
            person: caller.person,
            status: PersonStatus::from_stored(&row.status),
            facts: row.facts,
            display_name: row.display_name,
            email: row.email,
            memberships: self.memberships(caller.person).await?,
            session: SessionFacts {
                id: caller.session,
                kind: SessionKind::from_stored(&row.kind),
                label: row.label,
                authenticated_at: Timestamp::from_millis(row.authenticated_at),
                confirmed_at: Timestamp::from_millis(row.confirmed_at),
                acr: row.acr,
                ends_at: Timestamp::from_millis(row.ends_at),
            },
        })
    }

    /// The groups of a person as her sources name them.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn memberships(&self, person: PersonId) -> Result<Vec<GroupRow>> {
        let rows: Vec<MembershipRow> = self
            .database
            .fetch_all(
                sql("SELECT source, group_id, asserted_at FROM memberships_of_now WHERE person = $1 \
                     ORDER BY source, group_id")
                .bind(person),
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| GroupRow {
                source: row.source,
                group_id: row.group_id,
                asserted_at: Timestamp::from_millis(row.asserted_at),
            })
            .collect())
    }
}

impl TokenRow {
    fn idle(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.idle_millis).unwrap_or(0))
    }

    fn last_use(&self) -> Timestamp {
        Timestamp::from_millis(self.seen_at.unwrap_or(self.created_at))
    }

    /// Why the session is over, where it is.
    fn over(&self, now: Timestamp) -> Option<&'static str> {
        if self.ended_at.is_some() {
            return Some("the session has ended");
        }
        if Timestamp::from_millis(self.ends_at) <= now {
            return Some("the session has reached its end");
        }
        (self.last_use().after(self.idle()) <= now).then_some("the session was not used for too long")
    }
}

/// Refuses whoever is not active.
pub(super) fn may_act(status: PersonStatus) -> Result<()> {
    match status {
        PersonStatus::Active => Ok(()),
        PersonStatus::Suspended => Err(Problem::new(
            ProblemKind::PersonSuspended,
            "you are suspended here: nothing works until that is undone",
        )
        .remedy("Ask an administrator.")),
        PersonStatus::Deactivated => {
            Err(Problem::new(ProblemKind::PersonDeactivated, "you are deactivated here")
                .remedy("Ask an administrator."))
        }
    }
}

pub(super) fn unauthenticated(why: &str) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, why).remedy("Sign in: `portctl login --server URL`.")
}

/// Reads an id that we wrote.
pub(super) fn stored_id<I: crate::base::ids::Id>(text: &str) -> Result<I> {
    text.parse().map_err(|_| Problem::internal("a stored id cannot be read"))
}
