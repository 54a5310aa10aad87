//! Requests: asking for a trust scope for a while, and what becomes of it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    approvers::{
        Approver, StandingRow, approvers, environment_of, facts_of, may_approve, may_be_given, standing_query,
    },
    grants::{self, Grant, grant_of, grants_of, stored, stored_environment},
};
use crate::{
    audit::{Authority, Draft, Log, Unit, Work},
    base::{
        Ambient, EnvironmentRef, Name, Problem, ProblemKind, Result, Timestamp,
        ids::{GrantId, PersonId, RequestId},
        time::format_duration,
    },
    catalog::{Catalog, Snapshot},
    notify::Outbox,
    policy::{
        Action, DenialReason, EnvironmentFacts, Permit, PersonFacts, PersonStatus, Resource, TrustScope,
    },
    store::{Database, Query, sql},
};

/// A request that nobody has decided by then is over.
const UNDECIDED_FOR: Duration = Duration::from_hours(24);
/// Longest reason, in bytes.
const LONGEST_REASON: usize = 4096;

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
    /// The requester has left.
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
    fn approve(self, now: Timestamp, grant: GrantId) -> Result<Self> {
        self.in_time(now)?.become_(RequestState::Approved { at: now, grant })
    }

    fn deny(self, now: Timestamp) -> Result<Self> {
        self.in_time(now)?.become_(RequestState::Denied { at: now })
    }

    fn cancel(self, now: Timestamp) -> Result<Self> {
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
struct RequestRow {
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
const SELECT: &str = "SELECT r.id, r.person, r.action, r.scope, r.application, r.environment, r.team, r.for_millis, \
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

fn by_id(id: RequestId) -> Query {
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

fn no_such(id: RequestId) -> Problem {
    Problem::not_found(format!("there is no request {id}")).remedy("`portctl request list` shows yours.")
}

/// Withdraws a pending request because its person has left; drafts `request.withdrawn`.
///
/// # Errors
/// `conflict` where it is decided already.
pub async fn withdraw(work: &mut Work<'_>, id: RequestId) -> Result<()> {
    let now = work.now();
    let request = request_in(work, id).await?.withdraw(now)?;
    request.store_outcome(work).await?;
    work.record(request.draft("request.withdrawn").with("because", "deactivated"));
    Ok(())
}

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

/// Asks, decides and lists. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    database: Database,
    log: Log,
    catalog: Catalog,
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
        ambient: Ambient,
        outbox: Outbox,
        public_url: &str,
    ) -> Self {
        Self { database, log, catalog, ambient, outbox, public_url: public_url.trim_end_matches('/').into() }
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
        let scope = Self::find_scope(&facts, &at, &ask)?.clone();
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

    /// The one trust scope that can be asked for and would allow it.
    fn find_scope<'f>(facts: &'f PersonFacts, at: &EnvironmentFacts, ask: &Ask) -> Result<&'f TrustScope> {
        let mut able = Vec::new();
        let mut why_not: Option<(&TrustScope, DenialReason)> = None;
        for scope in facts.scopes.iter().filter(|s| ask.scope.as_ref().is_none_or(|name| s.name == *name)) {
            let Some(narrowed) = allowing(scope, ask.action) else { continue };
            match may_be_given(facts, &narrowed, at) {
                Ok(()) => able.push(scope),
                Err(DenialReason::NotCovered) => {}
                Err(reason) => why_not = why_not.or(Some((scope, reason))),
            }
        }
        match able.as_slice() {
            [one] => Ok(one),
            [] => Err(nothing_to_ask_for(at, ask, why_not)),
            several => {
                let names: Vec<&str> = several.iter().map(|scope| scope.name.as_str()).collect();
                Err(Problem::new(
                    ProblemKind::Ambiguous,
                    format!(
                        "{} in {} is allowed by more than one trust scope: {}",
                        ask.action,
                        at.at,
                        names.join(", ")
                    ),
                )
                .with("scopes", names)
                .remedy("Say which: `portctl request create --scope NAME …`."))
            }
        }
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
        let unit =
            Decide { permit, declared: self.catalog.snapshot().await?, verdict, reason: reason.to_owned() };
        self.log.perform(unit).await
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

/// The scope with only those allowances that name the action; nothing where it cannot be asked for.
fn allowing(scope: &TrustScope, action: Action) -> Option<TrustScope> {
    scope.by_request.as_ref()?;
    let mut narrowed = scope.clone();
    narrowed.allows.retain(|allowance| allowance.actions.contains(&action));
    (!narrowed.allows.is_empty()).then_some(narrowed)
}

fn nothing_to_ask_for(
    at: &EnvironmentFacts,
    ask: &Ask,
    why_not: Option<(&TrustScope, DenialReason)>,
) -> Problem {
    let named = ask.scope.as_ref().map_or_else(String::new, |name| format!(" named '{name}'"));
    let problem = match why_not {
        Some((scope, reason)) => Problem::new(
            ProblemKind::Denied,
            format!(
                "{} in {} can be asked for in trust scope '{}', but not by you: {}",
                ask.action,
                at.at,
                scope.name,
                what_is_missing(scope, &reason)
            ),
        )
        .with("scope", scope.name.as_str())
        .with("reason", reason.as_str()),
        None => Problem::new(
            ProblemKind::Denied,
            format!(
                "there is no trust scope{named} that can be asked for and allows {} in {}",
                ask.action, at.at
            ),
        )
        .with("reason", DenialReason::NotCovered.as_str()),
    };
    problem.remedy("`portctl whoami` shows the trust scopes and why you are in each or not.")
}

fn what_is_missing(scope: &TrustScope, reason: &DenialReason) -> String {
    match reason {
        DenialReason::NotAMember => {
            let groups: Vec<&str> = scope.members.groups.iter().map(Name::as_str).collect();
            format!("it is for the groups {}", groups.join(", "))
        }
        DenialReason::FactsTooOld => "what we know of your groups is too old; sign in again".to_owned(),
        DenialReason::ScopeEnded => "it has ended".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn reason_too_long() -> Problem {
    Problem::invalid(format!("the reason is longer than {LONGEST_REASON} bytes")).remedy("Shorten it.")
}

fn check_reason(reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("a request needs a reason").remedy("Say why: `--reason \"INC-123 …\"`."));
    }
    if reason.len() > LONGEST_REASON { Err(reason_too_long()) } else { Ok(()) }
}

fn check_length(scope: &TrustScope, length: Duration) -> Result<()> {
    let longest = scope.by_request.as_ref().map_or(Duration::ZERO, |by| by.longest);
    if length.is_zero() {
        return Err(
            Problem::invalid("a grant lasts longer than no time").remedy("Say how long: `--for 15m`.")
        );
    }
    if length <= longest {
        return Ok(());
    }
    let longest = format_duration(longest);
    Err(Problem::invalid(format!(
        "{} is longer than trust scope '{}' is granted for: {longest} at most",
        format_duration(length),
        scope.name
    ))
    .with("longest", longest.clone())
    .remedy(format!("Ask for less: `--for {longest}`.")))
}

/// Makes a request, and tells the approvers.
struct Create {
    permit: Permit,
    person: PersonId,
    scope: Name,
    at: EnvironmentRef,
    ask: Ask,
    approvers: Vec<Approver>,
    outbox: Outbox,
    public_url: Arc<str>,
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

/// Says yes or no. Everything that it rests on is read again here.
struct Decide {
    permit: Permit,
    declared: Arc<Snapshot>,
    verdict: Verdict,
    reason: String,
}

#[async_trait]
impl Unit for Decide {
    type Output = (Request, Option<Grant>);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let (request, environment) = self.look(work).await?;
        let scope = self.scope(&request)?;
        let approver = self.approver(work, &request, scope, environment).await?;
        match self.verdict {
            Verdict::Approve => self.approve(work, request, scope, environment, approver).await,
            Verdict::Deny => self.deny(work, request, approver).await,
        }
    }
}

impl Decide {
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
        may_be_given(&facts, &narrowed, at).map_err(|reason| {
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
struct Cancel {
    permit: Permit,
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
