//! Leases: credentials that a dynamic engine makes for one holder and takes back.
//!
//! The credentials are in one answer, that to issuing; nobody keeps them, and nothing tells them again.

pub mod create;
pub mod list;
pub mod renew;
pub mod revoke;
pub mod show;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::App,
    base::{LeaseRef, Problem, Result, Timestamp, ids::LeaseId},
    policy::Resource,
    secrets::Lease,
};

/// A lease, without its credentials.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LeaseView {
    /// Its id, `lea_…`.
    pub id: String,
    /// Who holds it: `per_…`, or a workload.
    pub holder: String,
    /// Of which role: `APPLICATION/ENVIRONMENT/ROLE`.
    pub at: String,
    /// `opening`; `live`; `revoking`: its credentials may work until the engine has answered; `ended`.
    pub state: String,
    /// The trust scope that allowed it.
    pub scope: Option<String>,
    /// The grant with which it ends.
    pub grant: Option<String>,
    /// When the credentials were told (RFC 3339).
    pub issued_at: Option<String>,
    /// When it ends unless it is renewed.
    pub ends_at: String,
    /// Until when it can be renewed.
    pub renewable_until: String,
    /// Why it is over, or about to be: `given-back`, `revoked`, `time`, `grant-ended`, `suspended`,
    /// `no-longer-declared`, `declaration-moved`, `issuer-gone`, `deactivated`, `not-allowed`, `not-issued`,
    /// `not-told`.
    pub because: Option<String>,
    /// Since when it is being taken back.
    pub revoking_since: Option<String>,
    /// When the engine had taken it back.
    pub ended_at: Option<String>,
    /// What stands in the way of taking it back.
    pub waits_for: Option<String>,
}

impl From<&Lease> for LeaseView {
    fn from(lease: &Lease) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: lease.id.to_string(),
            holder: lease.principal.clone(),
            at: lease.at.to_string(),
            state: lease.state.as_str().to_owned(),
            scope: lease.scope.clone(),
            grant: lease.grant.map(|id| id.to_string()),
            issued_at: time(lease.issued_at),
            ends_at: lease.ends_at.to_string(),
            renewable_until: lease.limit_at.to_string(),
            because: lease.because.clone(),
            revoking_since: time(lease.revoking_at),
            ended_at: time(lease.ended_at),
            waits_for: lease.waits_for.clone(),
        }
    }
}

/// Reads a lease's id from an address.
fn lease_id(text: &str) -> Result<LeaseId> {
    text.parse().map_err(|e: String| Problem::invalid(e).remedy("`portctl lease list` shows yours."))
}

/// What policy is asked of a role.
async fn role(app: &App, at: &LeaseRef) -> Result<Resource> {
    let environment = app.catalog.snapshot().await?.environment(&at.environment)?;
    Ok(Resource::Lease(environment, at.role.clone()))
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(create::route())
        .merge(list::route())
        .merge(show::route())
        .merge(renew::route())
        .merge(revoke::route())
}
