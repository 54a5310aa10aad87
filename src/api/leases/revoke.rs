//! `POST /api/v1/leases/{lease}/revoke`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LeaseView, lease_id};
use crate::{
    api::{AnyAuth, App, Json},
    base::{Problem, Result},
    policy::{Action, Resource},
};

/// Nothing has to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {}

/// Take a lease back: give back your own, or, for who may manage people, take back anybody's.
///
/// It is `ended` once the engine has answered, and `revoking` until then; taking back what is over changes
/// nothing.
#[utoipa::path(
    post,
    path = "/leases/{lease}/revoke",
    tag = "leases",
    params(("lease" = String, Path, description = "`lea_…`")),
    request_body = Revocation,
    responses(
        (status = 200, description = "How it stands now.", body = LeaseView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is being issued."),
    )
)]
async fn revoke(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(lease): Path<String>,
    Json(Revocation {}): Json<Revocation>,
) -> Result<Json<LeaseView>, Problem> {
    let id = lease_id(&lease)?;
    let is_own = app.leases.holder(id).await? == caller.to_string();
    let (action, resource) =
        if is_own { (Action::EndOwnLease, Resource::Own) } else { (Action::ManagePeople, Resource::People) };
    let lease = app.gate.act(&caller, action, resource, |permit| app.leases.revoke(permit, id)).await?;
    Ok(Json(LeaseView::from(&lease)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(revoke))
}
