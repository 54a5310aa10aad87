//! Saying yes or no, and taking a request back: everything that it rests on is read again in the unit.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    approvers::{StandingRow, facts_of, may_approve, standing_query},
    grants::{self, Grant},
    request::{Request, request_in},
    scope_choice::{allowing, check_length},
};
use crate::{
    audit::{Authority, Unit, Work},
    base::{
        Problem, ProblemKind, Result,
        ids::{GrantId, PersonId},
    },
    catalog::Snapshot,
    policy::{
        DenialReason, EnvironmentFacts, Permit, PersonFacts, PersonStatus, Policies, Resource, TrustScope,
    },
    store::sql,
};

/// What somebody said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Verdict {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// One decision on a request.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Decision {
    /// Who decided, `per_…`.
    pub person: String,
    /// What she is called.
    pub display_name: String,
    /// `approve` or `deny`.
    pub decision: String,
    /// Why, in her words; may be empty.
    pub reason: String,
    /// When, in milliseconds since the epoch.
    pub at: i64,
}

/// Says yes or no. Everything that it rests on is read again here.
pub(super) struct Decide {
    pub(super) permit: Permit,
    pub(super) policies: Arc<Policies>,
    pub(super) declared: Arc<Snapshot>,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

#[async_trait]
impl Unit for Decide {
    /// A refusal by what was read again is recorded, too: so it is an answer, not a failure.
    type Output = Result<(Request, Option<Grant>)>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let (request, environment) = self.look(work).await?;
        match self.settle(work, request.clone(), environment).await {
            Err(problem) if problem.is(ProblemKind::Denied) => {
                let because = problem.more.get("reason").cloned().unwrap_or_default();
                work.record(
                    request
                        .draft("request.decision-refused")
                        .with("because", because)
                        .with("said", self.verdict.as_str()),
                );
                Ok(Err(problem))
            }
            outcome => outcome.map(Ok),
        }
    }
}

impl Decide {
    /// Checks everything, then writes: a refusal has changed nothing.
    async fn settle(
        &self,
        work: &mut Work<'_>,
        request: Request,
        environment: &EnvironmentFacts,
    ) -> Result<(Request, Option<Grant>)> {
        let scope = self.scope(&request)?;
        let approver = self.approver(work, &request, scope, environment).await?;
        match self.verdict {
            Verdict::Approve => self.approve(work, request, scope, environment, approver).await,
            Verdict::Deny => self.deny(work, request, approver).await,
        }
    }

    /// The request as it stands, which has to be the one that the permit is for.
    async fn look(&self, work: &mut Work<'_>) -> Result<(Request, &EnvironmentFacts)> {
        let Resource::Request { id, requester, scope, environment } = self.permit.resource() else {
            return Err(Problem::internal("a permit to decide is for a request"));
        };
        let request = request_in(work, *id).await?;
        if request.person != *requester || request.scope != *scope || request.at != environment.at {
            return Err(Problem::internal(format!("the permit describes the request {id} wrongly")));
        }
        Ok((request, environment))
    }

    /// The scope as it is declared in the version that the permit rests on.
    fn scope(&self, request: &Request) -> Result<&TrustScope> {
        if self.permit.rests_on().catalog != self.declared.version {
            return Err(Problem::new(
                ProblemKind::FactsChanged,
                "what files declare changed while this was decided",
            ));
        }
        self.declared.scope(&request.scope).ok_or_else(|| {
            Problem::conflict(format!("the trust scope '{}' is no longer declared", request.scope))
                .remedy("The request expires by itself.")
        })
    }

    /// Whoever decides: not the requester, and still an approver.
    async fn approver(
        &self,
        work: &mut Work<'_>,
        request: &Request,
        scope: &TrustScope,
        at: &EnvironmentFacts,
    ) -> Result<PersonId> {
        let person =
            self.permit.person().ok_or_else(|| Problem::internal("only people decide on requests"))?;
        if person == request.person {
            return Err(Problem::new(ProblemKind::Denied, "nobody decides on her own request")
                .with("reason", DenialReason::OwnRequest.as_str())
                .remedy("Ask one of the approvers."));
        }
        let facts = facts_in(work, person, &self.declared).await?;
        if may_approve(&facts, scope, at) {
            return Ok(person);
        }
        Err(Problem::new(ProblemKind::Denied, format!("you are no approver of trust scope '{}'", scope.name))
            .with("reason", DenialReason::NotAnApprover.as_str())
            .remedy("Sign in again if your groups have changed: `portctl login`."))
    }

    /// The requester has to be eligible still, for what she asked.
    async fn check_requester(
        &self,
        work: &mut Work<'_>,
        request: &Request,
        scope: &TrustScope,
        at: &EnvironmentFacts,
    ) -> Result<()> {
        let facts = facts_in(work, request.person, &self.declared).await?;
        let refused =
            |what: String| Problem::new(ProblemKind::Denied, what).with("request", request.id.to_string());
        if facts.status != PersonStatus::Active {
            return Err(refused(format!("who asked is {}", facts.status.as_str()))
                .with("reason", facts.status.as_str())
                .remedy("Nothing can be granted to her."));
        }
        let Some(narrowed) = allowing(scope, request.action) else {
            return Err(refused(format!("trust scope '{}' no longer allows {}", scope.name, request.action))
                .with("reason", DenialReason::NotCovered.as_str()));
        };
        let there = Resource::Environment(at.clone());
        self.policies.eligible(&facts, &narrowed, &there).map_err(|reason| {
            refused(format!("who asked may no longer be in trust scope '{}'", scope.name))
                .with("reason", reason.as_str())
                .remedy("She has to sign in again, or get her groups back, before this can be approved.")
        })?;
        check_length(scope, request.length)
    }

    async fn approve(
        &self,
        work: &mut Work<'_>,
        request: Request,
        scope: &TrustScope,
        at: &EnvironmentFacts,
        approver: PersonId,
    ) -> Result<(Request, Option<Grant>)> {
        let now = work.now();
        let id: GrantId = work.ambient().id();
        // What is decided already says so first, whoever asked.
        let request = request.approve(now, id)?;
        self.check_requester(work, &request, scope, at).await?;
        let ends_at = scope.ends.map_or(now.after(request.length), |end| end.min(now.after(request.length)));
        let grant = Grant {
            id,
            request: request.id,
            person: request.person,
            scope: request.scope.clone(),
            at: request.at.clone(),
            starts_at: now,
            ends_at,
            ended: None,
        };
        self.note(work, &request, approver).await?;
        work.record(request.draft("request.approved").reason(&self.reason));
        grants::begin(work, &grant).await?;
        Ok((request, Some(grant)))
    }

    async fn deny(
        &self,
        work: &mut Work<'_>,
        request: Request,
        approver: PersonId,
    ) -> Result<(Request, Option<Grant>)> {
        let request = request.deny(work.now())?;
        self.note(work, &request, approver).await?;
        work.record(request.draft("request.denied").reason(&self.reason));
        Ok((request, None))
    }

    async fn note(&self, work: &mut Work<'_>, request: &Request, approver: PersonId) -> Result<()> {
        request.store_outcome(work).await?;
        work.execute(
            sql("INSERT INTO approvals (request, person, decision, reason, at) VALUES ($1, $2, $3, $4, $5)")
                .bind(request.id)
                .bind(approver)
                .bind(self.verdict.as_str())
                .bind(&self.reason)
                .bind(work.now()),
        )
        .await?;
        Ok(())
    }
}

async fn facts_in(work: &mut Work<'_>, person: PersonId, declared: &Snapshot) -> Result<PersonFacts> {
    let rows: Vec<StandingRow> = work.fetch_all(standing_query(person)).await?;
    facts_of(person, rows, declared, work.now())
        .ok_or_else(|| Problem::not_found(format!("there is no person {person}")))
}

/// Takes one's own request back.
pub(super) struct Cancel {
    pub(super) permit: Permit,
}

#[async_trait]
impl Unit for Cancel {
    type Output = Request;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Request> {
        let Resource::Request { id, .. } = self.permit.resource() else {
            return Err(Problem::internal("a permit to cancel is for a request"));
        };
        let now = work.now();
        let request = request_in(work, *id).await?;
        if self.permit.person() != Some(request.person) {
            return Err(Problem::new(ProblemKind::Denied, format!("the request {id} is not yours")));
        }
        let request = request.cancel(now)?;
        request.store_outcome(work).await?;
        work.record(request.draft("request.cancelled"));
        Ok(request)
    }
}
