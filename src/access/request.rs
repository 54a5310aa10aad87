//! A request, its state, and how one becomes the other.

use std::time::Duration;

use super::grants::{stored, stored_environment};
use crate::{
    audit::{Draft, Work},
    base::{
        EnvironmentRef, Name, Problem, Result, Timestamp,
        ids::{GrantId, PersonId, RequestId},
    },
    policy::Action,
    store::{Query, sql},
};

/// What became of a request, with what belongs to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Waits for an approver.
    Pending,
    /// An approver said yes; the grant that came of it.
    Approved {
        /// When.
        at: Timestamp,
        /// What it became.
        grant: GrantId,
    },
    /// An approver said no.
    Denied {
        /// When.
        at: Timestamp,
    },
    /// The requester took it back.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Nobody decided in time.
    Expired {
        /// When that was noted.
        at: Timestamp,
    },
    /// The requester has left, or her groups justify it no longer.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
}

impl RequestState {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }

    fn decided_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending => None,
            Self::Approved { at, .. }
            | Self::Denied { at }
            | Self::Cancelled { at }
            | Self::Expired { at }
            | Self::Withdrawn { at } => Some(*at),
        }
    }
}

/// Somebody asked for a trust scope in one environment for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Who asks.
    pub person: PersonId,
    /// What she wants to do.
    pub action: Action,
    /// The trust scope that allows it.
    pub scope: Name,
    /// Where.
    pub at: EnvironmentRef,
    /// For how long, from the approval on.
    pub length: Duration,
    /// Why, in her words. Never interpreted; escape it where it is shown.
    pub reason: String,
    /// When she asked.
    pub created_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: RequestState,
}

/// Each transition takes the request as it was and gives it as it is then.
impl Request {
    pub(super) fn approve(self, now: Timestamp, grant: GrantId) -> Result<Self> {
        self.in_time(now)?.become_(RequestState::Approved { at: now, grant })
    }

    pub(super) fn deny(self, now: Timestamp) -> Result<Self> {
        self.in_time(now)?.become_(RequestState::Denied { at: now })
    }

    pub(super) fn cancel(self, now: Timestamp) -> Result<Self> {
        self.become_(RequestState::Cancelled { at: now })
    }

    pub(super) fn expire(self, now: Timestamp) -> Result<Self> {
        if now < self.expires_at {
            return Err(Problem::conflict(format!(
                "the request {} waits until {}",
                self.id, self.expires_at
            )));
        }
        self.become_(RequestState::Expired { at: now })
    }

    fn withdraw(self, now: Timestamp) -> Result<Self> {
        self.become_(RequestState::Withdrawn { at: now })
    }

    fn in_time(self, now: Timestamp) -> Result<Self> {
        if now < self.expires_at {
            return Ok(self);
        }
        Err(Problem::conflict(format!("the request {} expired at {}", self.id, self.expires_at))
            .remedy("It has to be asked for again: `portctl request create`."))
    }

    fn become_(self, state: RequestState) -> Result<Self> {
        match self.state {
            RequestState::Pending => Ok(Self { state, ..self }),
            decided => {
                Err(Problem::conflict(format!("the request {} is {} already", self.id, decided.as_str()))
                    .with("state", decided.as_str())
                    .remedy(format!("`portctl request show {}` says by whom.", self.id)))
            }
        }
    }

    /// Writes what became of it, if it is still pending underneath.
    pub(super) async fn store_outcome(&self, work: &mut Work<'_>) -> Result<()> {
        let touched = work
            .execute(
                sql("UPDATE requests SET state = $2, decided_at = $3 WHERE id = $1 AND state = 'pending'")
                    .bind(self.id)
                    .bind(self.state.as_str())
                    .bind(self.state.decided_at()),
            )
            .await?;
        if touched == 1 {
            return Ok(());
        }
        Err(Problem::conflict(format!("the request {} was decided meanwhile", self.id)))
    }

    pub(super) fn draft(&self, action: &str) -> Draft {
        Draft::act(action)
            .subject(self.person)
            .environment(&self.at)
            .request(self.id)
            .with("of", self.scope.as_str())
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct RequestRow {
    id: String,
    person: String,
    action: String,
    scope: String,
    application: String,
    environment: String,
    team: String,
    for_millis: i64,
    reason: String,
    state: String,
    created_at: i64,
    expires_at: i64,
    decided_at: Option<i64>,
    grant_id: Option<String>,
}

/// The part of every query that reads requests.
pub(super) const SELECT: &str = "SELECT r.id, r.person, r.action, r.scope, r.application, r.environment, r.team, r.for_millis, \
     r.reason, r.state, r.created_at, r.expires_at, r.decided_at, g.id AS grant_id \
     FROM requests r LEFT JOIN grants g ON g.request = r.id ";

impl TryFrom<RequestRow> for Request {
    type Error = Problem;

    fn try_from(row: RequestRow) -> Result<Self> {
        let at = Timestamp::from_millis(row.decided_at.unwrap_or(row.created_at));
        let state = match (row.state.as_str(), row.grant_id) {
            ("pending", _) => RequestState::Pending,
            ("approved", Some(grant)) => RequestState::Approved { at, grant: stored(&grant)? },
            ("denied", _) => RequestState::Denied { at },
            ("cancelled", _) => RequestState::Cancelled { at },
            ("expired", _) => RequestState::Expired { at },
            ("withdrawn", _) => RequestState::Withdrawn { at },
            (other, _) => {
                return Err(Problem::internal(format!("the request {} is stored as '{other}'", row.id)));
            }
        };
        Ok(Self {
            id: stored(&row.id)?,
            person: stored(&row.person)?,
            action: stored(&row.action)?,
            scope: stored(&row.scope)?,
            at: stored_environment(&row.application, &row.environment, &row.team)?,
            length: Duration::from_millis(u64::try_from(row.for_millis).unwrap_or(0)),
            reason: row.reason,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            state,
        })
    }
}

pub(super) fn by_id(id: RequestId) -> Query {
    Query::composed(format!("{SELECT} WHERE r.id = $1"), Vec::new()).bind(id)
}

/// Reads a request inside a unit.
///
/// # Errors
/// `not-found`.
pub(super) async fn request_in(work: &mut Work<'_>, id: RequestId) -> Result<Request> {
    let row: Option<RequestRow> = work.fetch_optional(by_id(id)).await?;
    row.ok_or_else(|| no_such(id))?.try_into()
}

pub(super) fn no_such(id: RequestId) -> Problem {
    Problem::not_found(format!("there is no request {id}")).remedy("`portctl request list` shows yours.")
}

/// Withdraws a pending request because its person has left; drafts `request.withdrawn`.
///
/// # Errors
/// `conflict` where it is decided already.
pub async fn withdraw(work: &mut Work<'_>, id: RequestId) -> Result<()> {
    withdraw_because(work, id, "deactivated").await
}

/// The same for another reason.
pub(super) async fn withdraw_because(work: &mut Work<'_>, id: RequestId, because: &str) -> Result<()> {
    let now = work.now();
    let request = request_in(work, id).await?.withdraw(now)?;
    request.store_outcome(work).await?;
    work.record(request.draft("request.withdrawn").with("because", because));
    Ok(())
}
