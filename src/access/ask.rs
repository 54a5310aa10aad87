//! Asking: a new request, unless there is one or a grant already.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    approvers::Approver,
    grants::{Grant, stored},
    request::{Request, RequestState, request_in},
};
use crate::{
    audit::{Authority, Unit, Work},
    base::{EnvironmentRef, Name, Problem, ProblemKind, Result, ids::PersonId, time::format_duration},
    notify::Outbox,
    policy::{Action, Permit},
    store::{Query, sql},
};

/// A request that nobody has decided by then is over.
const UNDECIDED_FOR: Duration = Duration::from_hours(24);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What she wants to do.
    pub action: Action,
    /// In which trust scope, where she says so.
    pub scope: Option<Name>,
    /// For how long.
    pub length: Duration,
    /// Why: 1 to 4096 bytes.
    pub reason: String,
}

/// The answer to asking.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request: a new one, the one that was pending, or the one that the live grant came from.
    pub request: Request,
    /// The live grant, where there is one.
    pub grant: Option<Grant>,
    /// Who can approve it.
    pub approvers: Vec<Approver>,
    /// The page where it is decided.
    pub link: String,
    /// Whether a new request was made.
    pub created: bool,
}

/// Makes a request, and tells the approvers.
pub(super) struct Create {
    pub(super) permit: Permit,
    pub(super) person: PersonId,
    pub(super) scope: Name,
    pub(super) at: EnvironmentRef,
    pub(super) ask: Ask,
    pub(super) approvers: Vec<Approver>,
    pub(super) outbox: Outbox,
    pub(super) public_url: Arc<str>,
}

#[async_trait]
impl Unit for Create {
    type Output = Request;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Request> {
        self.refuse_second(work).await?;
        let now = work.now();
        let request = Request {
            id: work.ambient().id(),
            person: self.person,
            action: self.ask.action,
            scope: self.scope.clone(),
            at: self.at.clone(),
            length: self.ask.length,
            reason: self.ask.reason.clone(),
            created_at: now,
            expires_at: now.after(UNDECIDED_FOR),
            state: RequestState::Pending,
        };
        insert(work, &request).await?;
        work.record(
            request
                .draft("request.created")
                .reason(&request.reason)
                .with("action", request.action.as_str())
                .with("for", format_duration(request.length)),
        );
        self.outbox.enqueue(work, "request.created", &self.message(&request)).await?;
        Ok(request)
    }
}

impl Create {
    /// A grant or a request that came in between is the answer, not a second one.
    async fn refuse_second(&self, work: &mut Work<'_>) -> Result<()> {
        let now = work.now();
        let same = |query: Query| {
            query
                .bind(self.person)
                .bind(&self.scope)
                .bind(&self.at.application)
                .bind(&self.at.environment)
                .bind(self.at.team_column())
                .bind(now)
        };
        let grant = same(sql(
            "SELECT id FROM grants WHERE person = $1 AND scope = $2 AND application = $3 AND environment = $4 \
             AND team = $5 AND ended_at IS NULL AND ends_at > $6",
        ));
        let pending = same(sql(
            "SELECT id FROM requests WHERE person = $1 AND scope = $2 AND application = $3 AND environment = $4 \
             AND team = $5 AND state = 'pending' AND expires_at > $6",
        ));
        for query in [grant, pending] {
            let found: Option<(String,)> = work.fetch_optional(query).await?;
            if let Some((id,)) = found {
                return Err(Problem::new(
                    ProblemKind::AlreadyExists,
                    format!("it was asked for already: {id}"),
                ));
            }
        }
        self.expire_stale(work).await
    }

    /// One that has run out and was not noted yet makes room.
    async fn expire_stale(&self, work: &mut Work<'_>) -> Result<()> {
        let stale: Vec<(String,)> = work
            .fetch_all(
                sql("SELECT id FROM requests WHERE person = $1 AND scope = $2 AND application = $3 \
                     AND environment = $4 AND team = $5 AND state = 'pending'")
                .bind(self.person)
                .bind(&self.scope)
                .bind(&self.at.application)
                .bind(&self.at.environment)
                .bind(self.at.team_column()),
            )
            .await?;
        for (id,) in stale {
            let now = work.now();
            let request = request_in(work, stored(&id)?).await?.expire(now)?;
            request.store_outcome(work).await?;
            work.record(request.draft("request.expired").with("because", "time"));
        }
        Ok(())
    }

    fn message(&self, request: &Request) -> serde_json::Value {
        let approvers: Vec<_> = self
            .approvers
            .iter()
            .map(|approver| serde_json::json!({"id": approver.id, "display_name": approver.display_name}))
            .collect();
        serde_json::json!({
            "request": request.id,
            "person": request.person,
            "action": request.action,
            "scope": request.scope,
            "at": request.at,
            "for": format_duration(request.length),
            "reason": request.reason,
            "expires_at": request.expires_at,
            "link": format!("{}/requests/{}", self.public_url, request.id),
            "approvers": approvers,
        })
    }
}

async fn insert(work: &mut Work<'_>, request: &Request) -> Result<()> {
    work.execute(
        sql("INSERT INTO requests (id, person, action, scope, application, environment, team, for_millis, reason, \
             state, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
        .bind(request.id)
        .bind(request.person)
        .bind(request.action.as_str())
        .bind(&request.scope)
        .bind(&request.at.application)
        .bind(&request.at.environment)
        .bind(request.at.team_column())
        .bind(i64::try_from(request.length.as_millis()).unwrap_or(i64::MAX))
        .bind(&request.reason)
        .bind(request.state.as_str())
        .bind(request.created_at)
        .bind(request.expires_at),
    )
    .await?;
    Ok(())
}
