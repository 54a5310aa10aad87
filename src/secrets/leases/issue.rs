//! Issuing a lease: intent, token, accessor, credentials, outcome; only then do the credentials leave.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;

use super::{
    EngineRole, Lease, LeaseEngine, LeaseState, Leases, Life, ROOM, draft, role_of,
    rows::{self, LeaseRow},
};
use crate::{
    audit::{Authority, IntentOutcome, Unit, Work},
    base::{LeaseRef, Problem, Result, SecretValue, Timestamp, ids::LeaseId},
    catalog::LeaseRole,
    policy::{EnvironmentFacts, Permit},
    store::sql,
};

/// How long a lease lasts where nobody says.
const USUAL: Duration = Duration::from_hours(1);
/// How many leases one holder may have at once: each is an account at somebody's database.
const MOST: i64 = 32;

/// Credentials on their way to their holder.
#[derive(Debug)]
pub struct Lent {
    /// The lease.
    pub lease: Lease,
    /// The credentials, by the engine's names: `username`, `password`.
    pub values: BTreeMap<String, SecretValue>,
}

/// A lease that is being issued.
struct Opening {
    lease: Lease,
    life: Life,
}

impl Leases {
    /// Refuses a role that no file declares, or of which the engine makes no credentials, whoever asks.
    ///
    /// # Errors
    /// `not-found`, `invalid-configuration`.
    pub async fn can_be_made(&self, at: &LeaseRef) -> Result<()> {
        let is_declared = self.it.catalog.snapshot().await?.lease_role(at).is_some();
        match (is_declared, self.engine()) {
            (true, engine) => engine.map(drop),
            (false, Ok(_)) => Err(no_such_role(at)),
            (false, Err(none)) => {
                let problem = no_such_role(at);
                let remedies = [problem.remedy.clone(), none.remedy].map(Option::unwrap_or_default);
                let detail = format!("{}; {}", problem.detail, none.detail);
                Err(Problem::not_found(detail).remedy(remedies.join(" ")))
            }
        }
    }

    /// Issues a lease of the role that the permit is for, to whoever holds the permit; for an hour where no
    /// `length` is said, and never for longer than the role, the trust scope and the grant allow.
    ///
    /// # Errors
    /// `not-found` where no file declares the role; `invalid-configuration` where the engine makes none;
    /// `conflict` where the holder has too many; `engine-unavailable`, `engine-fault`; those of
    /// [`crate::audit::Log::perform`]. In each case no credentials have left, and what was made is taken back.
    pub async fn issue(&self, permit: Permit, length: Option<Duration>) -> Result<Lent> {
        let (environment, at) = role_of(&permit)?;
        let declared = self.it.catalog.of(&permit).await?;
        let role = declared.lease_role(&at).cloned().ok_or_else(|| no_such_role(&at))?;
        let scope_ends = permit.scope().and_then(|name| declared.scope(name)).and_then(|scope| scope.ends);
        let engine = self.engine()?;
        // The same permit twice: its facts hold when it begins, and are read again before anything is told.
        let permit = Arc::new(permit);
        let length = length.unwrap_or(USUAL);
        let open = Open { permit: Arc::clone(&permit), environment, at, role, scope_ends, length };
        let opening = self.it.log.perform(open).await?;
        match self.bring(engine.as_ref(), permit, &opening).await {
            Ok(lent) => Ok(lent),
            Err(problem) => {
                self.give_up(opening.lease.id).await;
                Err(problem)
            }
        }
    }

    async fn bring(&self, engine: &dyn LeaseEngine, permit: Arc<Permit>, opening: &Opening) -> Result<Lent> {
        let Opening { lease, life } = opening;
        let opened = engine.open(*life).await?;
        self.store_accessor(lease.id, &opened.accessor).await?;
        let issued = engine.read(&opened, &lease.engine_role, life.seconds).await?;
        let (engine_lease, seconds) = (issued.lease, issued.seconds);
        let unit = Issue { permit, lease: lease.clone(), engine_lease, seconds };
        let lease = self.it.log.perform(unit).await?;
        Ok(Lent { lease, values: issued.values })
    }

    /// Only while the lease is being issued: one that was given up meanwhile must not come to life.
    async fn store_accessor(&self, lease: LeaseId, accessor: &str) -> Result<()> {
        let query = sql("INSERT INTO lease_accessors (lease, accessor) \
                         SELECT id, CAST($2 AS TEXT) FROM leases WHERE id = $1 AND state = 'opening'");
        let query = query.bind(lease).bind(accessor);
        let stored = self.it.database.write_unrecorded("lease_accessors", query).await?;
        if stored == 1 { Ok(()) } else { Err(given_up(lease)) }
    }
}

fn no_such_role(at: &LeaseRef) -> Problem {
    Problem::not_found(format!("no file declares a role '{at}' whose credentials could be leased"))
        .remedy(format!("Declare it: `leases` in the Application '{}'.", at.environment.application))
}

fn given_up(lease: LeaseId) -> Problem {
    Problem::conflict(format!("issuing the lease {lease} took too long, and it is taken back"))
        .remedy("Ask for another.")
}

/// The intent.
struct Open {
    permit: Arc<Permit>,
    environment: EnvironmentFacts,
    at: LeaseRef,
    role: LeaseRole,
    scope_ends: Option<Timestamp>,
    length: Duration,
}

#[async_trait]
impl Unit for Open {
    type Output = Opening;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Opening> {
        self.refuse_too_many(work).await?;
        let limit = self.limit(work).await?;
        let mut lease = Lease { origin: rows::origin(work, &self.permit).await?, ..self.lease(work, limit) };
        let seconds = |until: Timestamp| until.since(lease.created_at).as_secs();
        let life = Life { seconds: seconds(lease.ends_at), limit: seconds(limit) };
        if life.seconds == 0 {
            return Err(Problem::conflict(format!("what allows '{}' is about to end", self.at)));
        }
        let body = json!({ "lease": lease.id });
        let entry = draft("lease.issuing", &lease)
            .with("ends_at", lease.ends_at.to_string())
            .with("limit_at", lease.limit_at.to_string());
        lease.intent = Some(work.open_intent(ROOM, &lease.id.to_string(), &body, entry).await?);
        insert(work, &lease).await?;
        Ok(Opening { lease, life })
    }
}

impl Open {
    fn lease(&self, work: &Work<'_>, limit: Timestamp) -> Lease {
        let now = work.now();
        Lease {
            id: work.ambient().id(),
            principal: self.permit.principal().to_string(),
            at: self.at.clone(),
            owner: self.environment.owner.clone(),
            protected: self.environment.protected,
            engine_role: EngineRole { mount: self.role.at.mount.clone(), role: self.role.at.role.clone() },
            scope: self.permit.scope().map(ToString::to_string),
            grant: self.permit.grant(),
            origin: None,
            state: LeaseState::Opening,
            intent: None,
            created_at: now,
            issued_at: None,
            ends_at: now.after(self.length).min(limit),
            limit_at: limit,
            because: None,
            revoking_at: None,
            ended_at: None,
            waits_for: None,
            handle: super::Handle::default(),
            attempts: 0,
        }
    }

    /// The earliest end of what it rests on.
    async fn limit(&self, work: &mut Work<'_>) -> Result<Timestamp> {
        let longest = work.now().after(self.role.longest);
        let grant_ends = super::renew::grant_ends(work, self.permit.grant()).await?;
        Ok([Some(longest), self.scope_ends, grant_ends].into_iter().flatten().min().unwrap_or(longest))
    }

    async fn refuse_too_many(&self, work: &mut Work<'_>) -> Result<()> {
        let open: Option<(i64,)> = work
            .fetch_optional(
                sql("SELECT CAST(count(*) AS BIGINT) FROM leases \
                     WHERE principal = $1 AND state IN ('opening', 'live', 'revoking')")
                .bind(self.permit.principal().to_string()),
            )
            .await?;
        match open {
            Some((open,)) if open >= MOST => {
                Err(Problem::conflict(format!("{open} leases are open, and one holder has {MOST} at most"))
                    .remedy("Give some back: `portctl lease list`, `portctl lease revoke LEASE`."))
            }
            _ => Ok(()),
        }
    }
}

async fn insert(work: &mut Work<'_>, lease: &Lease) -> Result<()> {
    let at = &lease.at.environment;
    work.execute(
        sql("INSERT INTO leases (id, principal, application, environment, role, owner, protected, mount, \
             engine_role, scope, grant_id, state, intent, created_at, ends_at, limit_at, declaration, issuer) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'opening', $12, $13, $14, $15, $16, $17)")
        .bind(lease.id)
        .bind(&lease.principal)
        .bind(&at.application)
        .bind(&at.environment)
        .bind(&lease.at.role)
        .bind(lease.owner.as_ref().map(ToString::to_string))
        .bind(i64::from(lease.protected))
        .bind(&lease.engine_role.mount)
        .bind(&lease.engine_role.role)
        .bind(lease.scope.clone())
        .bind(lease.grant.map(|id| id.to_string()))
        .bind(lease.intent.map(|id| id.to_string()))
        .bind(lease.created_at)
        .bind(lease.ends_at)
        .bind(lease.limit_at)
        .bind(lease.origin.as_ref().map(|it| it.declaration.clone()))
        .bind(lease.origin.as_ref().map(|it| it.issuer.clone())),
    )
    .await?;
    Ok(())
}

/// The outcome: from its commit on, the holder has the credentials.
struct Issue {
    permit: Arc<Permit>,
    lease: Lease,
    engine_lease: String,
    seconds: u64,
}

#[async_trait]
impl Unit for Issue {
    type Output = Lease;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Lease> {
        let (id, now) = (self.lease.id, work.now());
        let ends_at = now.after(Duration::from_secs(self.seconds)).min(self.lease.ends_at);
        let next = i64::try_from(work.next_index()).unwrap_or(i64::MAX);
        let touched = work
            .execute(
                sql("UPDATE leases SET state = 'live', intent = NULL, issued_at = $2, ends_at = $3, \
                     engine_lease = $4, entry = $5 WHERE id = $1 AND state = 'opening'")
                .bind(id)
                .bind(now)
                .bind(ends_at)
                .bind(&self.engine_lease)
                .bind(next),
            )
            .await?;
        let intent = self.lease.intent.filter(|_| touched == 1).ok_or_else(|| given_up(id))?;
        let entry = draft("lease.issued", &self.lease)
            .with("ends_at", ends_at.to_string())
            .with("engine_lease", self.engine_lease.as_str());
        work.close_intent(intent, IntentOutcome::Done, entry).await?;
        let row: Option<LeaseRow> = work.fetch_optional(rows::lease(id)).await?;
        row.map(Lease::try_from).transpose()?.ok_or_else(|| super::no_such(id))
    }
}
