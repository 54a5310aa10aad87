//! What can be done about requests, each under a permit.

use std::sync::Arc;

use super::{
    approvers::{Approver, StandingRow, approvers, environment_of, facts_of, may_approve, standing_query},
    ask::{Ask, Asked, Create},
    decide::{Cancel, Decide, Decision, Verdict},
    grants::{Grant, grant_of, grants_of},
    request::{Request, RequestRow, SELECT, by_id, no_such},
    scope_choice::{LONGEST_REASON, check_length, check_reason, find_scope, reason_too_long},
};
use crate::{
    audit::Log,
    base::{
        Ambient, Problem, ProblemKind, Result,
        ids::{PersonId, RequestId},
    },
    catalog::{Catalog, Snapshot},
    notify::Outbox,
    policy::{Action, EnvironmentFacts, Permit, PersonFacts, Policies, Resource, TrustScope},
    store::{Database, Query, sql},
};

/// Asks, decides and lists. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    database: Database,
    log: Log,
    catalog: Catalog,
    policies: Arc<Policies>,
    ambient: Ambient,
    outbox: Outbox,
    public_url: Arc<str>,
}

impl Requests {
    /// `public_url` is where people reach the pages, without a slash at its end.
    #[must_use]
    pub fn new(
        database: Database,
        log: Log,
        catalog: Catalog,
        policies: Arc<Policies>,
        ambient: Ambient,
        outbox: Outbox,
        public_url: &str,
    ) -> Self {
        Self {
            database,
            log,
            catalog,
            policies,
            ambient,
            outbox,
            public_url: public_url.trim_end_matches('/').into(),
        }
    }

    /// The page of a request.
    #[must_use]
    pub fn link(&self, id: RequestId) -> String {
        format!("{}/requests/{id}", self.public_url)
    }

    /// Asks for a trust scope in the environment that the permit is for. A live grant of one's own, or
    /// one's own pending request for the same, is the answer instead of a new request.
    ///
    /// # Errors
    /// `ambiguous` where several scopes would do, `denied` where none would, `invalid-request` for a
    /// time or a reason that is too long.
    pub async fn create(&self, permit: Permit, ask: Ask) -> Result<Asked> {
        permit.expect(Action::Request)?;
        let person = permit.person().ok_or_else(|| Problem::internal("only people ask for trust scopes"))?;
        let Resource::Environment(at) = permit.resource().clone() else {
            return Err(Problem::internal("a permit to request is for an environment"));
        };
        check_reason(&ask.reason)?;
        let declared = &*self.catalog.snapshot().await?;
        let facts = self.facts(person, declared).await?;
        let scope = find_scope(&self.policies, &facts, &at, &ask)?.clone();
        check_length(&scope, ask.length)?;
        if let Some(found) = self.existing(person, &scope, &at, declared).await? {
            return Ok(found);
        }
        let able = approvers(&self.database, declared, &scope, &at, person, self.ambient.now()).await?;
        let unit = Create {
            permit,
            person,
            scope: scope.name.clone(),
            at: at.at.clone(),
            ask,
            approvers: able.clone(),
            outbox: self.outbox.clone(),
            public_url: Arc::clone(&self.public_url),
        };
        match self.log.perform(unit).await {
            Ok(request) => Ok(Asked {
                link: self.link(request.id),
                request,
                grant: None,
                approvers: able,
                created: true,
            }),
            // Asked twice at one instant: the other request is the answer.
            Err(problem) if problem.is(ProblemKind::AlreadyExists) => {
                self.existing(person, &scope, &at, declared).await?.ok_or(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    async fn facts(&self, person: PersonId, declared: &Snapshot) -> Result<PersonFacts> {
        let rows: Vec<StandingRow> = self.database.fetch_all(standing_query(person)).await?;
        facts_of(person, rows, declared, self.ambient.now())
            .ok_or_else(|| Problem::not_found(format!("there is no person {person}")))
    }

    /// One's own live grant, or one's own pending request, for the same scope and environment.
    async fn existing(
        &self,
        person: PersonId,
        scope: &TrustScope,
        at: &EnvironmentFacts,
        declared: &Snapshot,
    ) -> Result<Option<Asked>> {
        let now = self.ambient.now();
        let grants = grants_of(&self.database, person, now).await?;
        if let Some(grant) = grants.into_iter().find(|grant| grant.scope == scope.name && grant.at == at.at) {
            let request = self.get(grant.request).await?;
            return Ok(Some(Asked {
                link: self.link(request.id),
                request,
                grant: Some(grant),
                approvers: Vec::new(),
                created: false,
            }));
        }
        let pending = self.list(Some(person), Some("pending")).await?;
        let Some(request) =
            pending.into_iter().find(|r| r.scope == scope.name && r.at == at.at && now < r.expires_at)
        else {
            return Ok(None);
        };
        let approvers = approvers(&self.database, declared, scope, at, person, now).await?;
        Ok(Some(Asked { link: self.link(request.id), request, grant: None, approvers, created: false }))
    }

    /// Says yes or no. A yes makes a grant that begins now.
    ///
    /// # Errors
    /// `denied` for one's own request, where the approver has lost her groups, or the requester no
    /// longer may; `conflict` where it is decided or expired.
    pub async fn decide(
        &self,
        permit: Permit,
        verdict: Verdict,
        reason: &str,
    ) -> Result<(Request, Option<Grant>)> {
        permit.expect(Action::Decide)?;
        if reason.len() > LONGEST_REASON {
            return Err(reason_too_long());
        }
        let unit = Decide {
            permit,
            policies: Arc::clone(&self.policies),
            declared: self.catalog.snapshot().await?,
            verdict,
            reason: reason.to_owned(),
        };
        self.log.perform(unit).await?
    }

    /// Takes one's own request back.
    ///
    /// # Errors
    /// `conflict` where it is decided already.
    pub async fn cancel(&self, permit: Permit) -> Result<Request> {
        permit.expect(Action::CancelRequest)?;
        self.log.perform(Cancel { permit }).await
    }

    /// The request that the permit lets see, as it stands.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show(&self, permit: Permit) -> Result<Request> {
        permit.expect(Action::SeeRequest)?;
        let Resource::Request { id, .. } = permit.resource() else {
            return Err(Problem::internal("a permit to see a request is for a request"));
        };
        self.get(*id).await
    }

    pub(super) async fn get(&self, id: RequestId) -> Result<Request> {
        let row: Option<RequestRow> = self.database.fetch_optional(by_id(id)).await?;
        row.ok_or_else(|| no_such(id))?.try_into()
    }

    /// One's own requests, in one state or in any: the newest first, 500 at most.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn mine(&self, permit: Permit, state: Option<&str>) -> Result<Vec<Request>> {
        let person = own(&permit)?;
        self.list(Some(person), state).await
    }

    async fn list(&self, of: Option<PersonId>, state: Option<&str>) -> Result<Vec<Request>> {
        let mut args = Vec::new();
        let mut text = format!("{SELECT} WHERE 1 = 1");
        if let Some(person) = of {
            args.push(person.into());
            text.push_str(" AND r.person = $1");
        }
        if let Some(state) = state {
            args.push(state.into());
            text.push_str(if args.len() == 1 { " AND r.state = $1" } else { " AND r.state = $2" });
        }
        text.push_str(" ORDER BY r.created_at DESC, r.id DESC LIMIT 500");
        let rows: Vec<RequestRow> = self.database.fetch_all(Query::composed(text, args)).await?;
        rows.into_iter().map(Request::try_from).collect()
    }

    /// Pending requests that whoever holds the permit could decide.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn to_decide(&self, permit: Permit) -> Result<Vec<Request>> {
        let person = own(&permit)?;
        let declared = &*self.catalog.snapshot().await?;
        let facts = self.facts(person, declared).await?;
        let pending = self.list(None, Some("pending")).await?;
        let able = |request: &Request| {
            request.person != person
                && facts.now < request.expires_at
                && declared
                    .scope(&request.scope)
                    .is_some_and(|scope| may_approve(&facts, scope, &environment_of(declared, &request.at)))
        };
        Ok(pending.into_iter().filter(able).collect())
    }

    /// What was said to a request, the oldest first.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn decisions(&self, request: &Request) -> Result<Vec<Decision>> {
        Ok(self
            .database
            .fetch_all(
                sql("SELECT a.person, p.display_name, a.decision, a.reason, a.at FROM approvals a \
                     JOIN people p ON p.id = a.person WHERE a.request = $1 ORDER BY a.at")
                .bind(request.id),
            )
            .await?)
    }

    /// The grant that a request became.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn grant(&self, request: &Request) -> Result<Option<Grant>> {
        grant_of(&self.database, request.id).await
    }

    /// Who could approve a request now.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn approvers(&self, request: &Request) -> Result<Vec<Approver>> {
        let declared = &*self.catalog.snapshot().await?;
        let Some(scope) = declared.scope(&request.scope) else { return Ok(Vec::new()) };
        let at = environment_of(declared, &request.at);
        approvers(&self.database, declared, scope, &at, request.person, self.ambient.now()).await
    }

    /// A request as a resource: what a permit to see, decide or cancel it is for.
    ///
    /// # Errors
    /// `not-found`, or a problem of the database.
    pub async fn resource(&self, id: RequestId) -> Result<Resource> {
        let request = self.get(id).await?;
        let declared = self.catalog.snapshot().await?;
        let environment = environment_of(&declared, &request.at);
        Ok(Resource::Request { id: request.id, requester: request.person, scope: request.scope, environment })
    }

    /// One's own live grants, the newest first.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn grants(&self, permit: Permit) -> Result<Vec<Grant>> {
        let person = own(&permit)?;
        grants_of(&self.database, person, self.ambient.now()).await
    }
}

/// Whose own things the permit lets see.
fn own(permit: &Permit) -> Result<PersonId> {
    permit.expect(Action::SeeOwn)?;
    permit.person().ok_or_else(|| Problem::internal("only people have requests and grants"))
}
