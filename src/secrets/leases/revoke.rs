//! Taking a lease back: wanted in one unit, done at the engine, noted in another.

use async_trait::async_trait;
use serde_json::json;

use super::{
    Lease, LeaseState, Leases, ROOM, draft, no_such,
    rows::{self, LeaseRow},
};
use crate::{
    audit::{Authority, Unit, Work},
    base::{Problem, Result, ids::LeaseId},
    policy::{Action, Permit},
    store::sql,
};

/// Begins the end of a live lease, whoever's it is, with the intent and its entry. For a unit that acts under a
/// permit to `expire`, to `revoke`, to `manage-people`, or to `end-own-lease`.
///
/// # Errors
/// `conflict` where it is not live.
pub async fn end_lease(work: &mut Work<'_>, id: LeaseId, because: &str) -> Result<()> {
    let touched = work
        .execute(
            sql("UPDATE leases SET state = 'revoking', because = $2, revoking_at = $3 \
                 WHERE id = $1 AND state = 'live'")
            .bind(id)
            .bind(because)
            .bind(work.now()),
        )
        .await?;
    if touched == 0 {
        return Err(Problem::conflict(format!("the lease {id} is not live")));
    }
    let row: Option<LeaseRow> = work.fetch_optional(rows::lease(id)).await?;
    let lease = row.map(Lease::try_from).transpose()?.ok_or_else(|| no_such(id))?;
    let entry = draft("lease.ending", &lease).with("because", because);
    let intent = work.open_intent(ROOM, &id.to_string(), &json!({ "lease": id }), entry).await?;
    work.execute(sql("UPDATE leases SET intent = $2 WHERE id = $1").bind(id).bind(intent)).await?;
    Ok(())
}

impl Leases {
    /// Takes a lease back: one's own under a permit to `end-own-lease`, anybody's under one to `manage-people`.
    /// Answers with how it stands then: `revoking` while the engine does not answer. One that is over, or about
    /// to be, stays as it is.
    ///
    /// # Errors
    /// `not-found`; `conflict` for one that is being issued; those of [`crate::audit::Log::perform`].
    pub async fn revoke(&self, permit: Permit, id: LeaseId) -> Result<Lease> {
        let because = match permit.action() {
            Action::EndOwnLease => "given-back",
            Action::ManagePeople => "revoked",
            other => return Err(Problem::internal(format!("a permit to {other} was used to end a lease"))),
        };
        let lease = self.get(id).await?;
        if because == "given-back" && lease.principal != permit.principal().to_string() {
            return Err(no_such(id));
        }
        if matches!(lease.state, LeaseState::Revoking | LeaseState::Ended) {
            return Ok(lease);
        }
        self.it.log.perform(Revoke { permit, id, because }).await?;
        self.settle_now(id).await;
        self.get(id).await
    }
}

struct Revoke {
    permit: Permit,
    id: LeaseId,
    because: &'static str,
}

#[async_trait]
impl Unit for Revoke {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        end_lease(work, self.id, self.because).await
    }
}
