//! Renewing a lease: within what allowed it, as it is now.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;

use super::{
    Lease, LeaseState, Leases, ROOM, draft, no_such, role_of,
    rows::{self, LeaseRow},
};
use crate::{
    audit::{Authority, IntentOutcome, Unit, Work},
    base::{
        Problem, Result, Timestamp,
        ids::{GrantId, IntentId, LeaseId},
    },
    policy::Permit,
    store::sql,
};

/// Why a lease of a workload that is declared otherwise by now ends.
const MOVED: &str = "declaration-moved";

impl Leases {
    /// Has a lease of the role that the permit is for, and of whoever holds the permit, last for `length` from
    /// now; never longer than what allowed it, and what allows it now.
    ///
    /// # Errors
    /// `not-found`; `conflict` where it is over, or cannot be renewed any more, or its workload is declared
    /// otherwise by now, which ends it; `engine-unavailable`, `engine-fault`; those of [`crate::audit::Log::perform`]: then it ends as before.
    pub async fn renew(&self, permit: Permit, id: LeaseId, length: Duration) -> Result<Lease> {
        role_of(&permit)?;
        let declared = self.it.catalog.of(&permit).await?;
        let scope_ends = permit.scope().and_then(|name| declared.scope(name)).and_then(|scope| scope.ends);
        let engine = self.engine()?;
        let permit = Arc::new(permit);
        let begin = Begin { permit: Arc::clone(&permit), id, length, scope_ends };
        let begun = self.it.log.perform(begin).await;
        if matches!(&begun, Err(problem) if problem.more.get("reason").is_some_and(|it| it == MOVED)) {
            self.end_moved(id).await?;
        }
        let (lease, intent, seconds) = begun?;
        let renewed = engine.renew(&lease.handle, seconds).await;
        let seconds = renewed.as_ref().ok().copied();
        let outcome = self.it.log.perform(Renewed { permit, lease, intent, seconds }).await;
        renewed.and(outcome)
    }

    async fn end_moved(&self, id: LeaseId) -> Result<()> {
        self.end_by_itself(&self.get(id).await?, MOVED).await?;
        self.settle_now(id).await;
        Ok(())
    }
}

/// Whoever is called today like the workload that holds a lease is another.
fn moved(lease: &Lease) -> Problem {
    Problem::conflict(format!(
        "the lease {} was issued when files declared {} otherwise, or by another issuer, and is taken back",
        lease.id, lease.principal
    ))
    .remedy(format!("Ask for another: `portctl lease create {}`.", lease.at))
    .with("reason", MOVED)
}

/// When a grant ends.
pub(super) async fn grant_ends(work: &mut Work<'_>, grant: Option<GrantId>) -> Result<Option<Timestamp>> {
    let Some(grant) = grant else { return Ok(None) };
    let found: Option<(i64,)> = work
        .fetch_optional(sql("SELECT ends_at FROM grants WHERE id = $1 AND ended_at IS NULL").bind(grant))
        .await?;
    match found {
        Some((ends,)) => Ok(Some(Timestamp::from_millis(ends))),
        None => Err(Problem::conflict(format!("the grant {grant} has ended"))),
    }
}

struct Begin {
    permit: Arc<Permit>,
    id: LeaseId,
    length: Duration,
    scope_ends: Option<Timestamp>,
}

#[async_trait]
impl Unit for Begin {
    type Output = (Lease, IntentId, u64);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let lease = self.lease(work).await?;
        if lease.origin != rows::origin(work, &self.permit).await? {
            return Err(moved(&lease));
        }
        let grant_ends = grant_ends(work, self.permit.grant()).await?;
        let until = [Some(lease.limit_at), self.scope_ends, grant_ends];
        let limit = until.into_iter().flatten().min().unwrap_or(lease.limit_at);
        let ends_at = work.now().after(self.length).min(limit);
        let seconds = ends_at.since(work.now()).as_secs();
        if seconds == 0 {
            return Err(Problem::conflict(format!("the lease {} cannot be renewed beyond {limit}", self.id))
                .remedy(format!("Ask for another: `portctl lease create {}`.", lease.at)));
        }
        let body = json!({ "lease": lease.id, "ends_at": ends_at.to_string() });
        let entry = draft("lease.renewing", &lease).with("ends_at", ends_at.to_string());
        let intent = work.open_intent(ROOM, &lease.id.to_string(), &body, entry).await?;
        Ok((lease, intent, seconds))
    }
}

impl Begin {
    /// The lease, if it is one of hers, of the role that was decided on, and live.
    async fn lease(&self, work: &mut Work<'_>) -> Result<Lease> {
        let row: Option<LeaseRow> = work.fetch_optional(rows::lease(self.id)).await?;
        let lease = row.map(Lease::try_from).transpose()?.ok_or_else(|| no_such(self.id))?;
        let (_, at) = role_of(&self.permit)?;
        if lease.principal != self.permit.principal().to_string() || lease.at != at {
            return Err(no_such(self.id));
        }
        if lease.state != LeaseState::Live {
            return Err(Problem::conflict(format!("the lease {} is {}", self.id, lease.state.as_str()))
                .remedy(format!("Ask for another: `portctl lease create {}`.", lease.at)));
        }
        Ok(lease)
    }
}

/// What came of it. Only what is noted here counts: a lease that the engine has renewed past us is taken back
/// at its end of before.
struct Renewed {
    permit: Arc<Permit>,
    lease: Lease,
    intent: IntentId,
    seconds: Option<u64>,
}

#[async_trait]
impl Unit for Renewed {
    type Output = Lease;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Lease> {
        let entry = draft("lease.renewed", &self.lease);
        let Some(seconds) = self.seconds else {
            work.close_intent(self.intent, IntentOutcome::Failed, entry).await?;
            return Ok(self.lease.clone());
        };
        let ends_at = work.now().after(Duration::from_secs(seconds)).min(self.lease.limit_at);
        let touched = work
            .execute(
                sql("UPDATE leases SET ends_at = $2 WHERE id = $1 AND state = 'live'")
                    .bind(self.lease.id)
                    .bind(ends_at),
            )
            .await?;
        if touched == 0 {
            return Err(Problem::conflict(format!("the lease {} was ended meanwhile", self.lease.id)));
        }
        work.close_intent(self.intent, IntentOutcome::Done, entry.with("ends_at", ends_at.to_string()))
            .await?;
        Ok(Lease { ends_at, ..self.lease.clone() })
    }
}
