//! `GET /api/v1/leases/{lease}`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LeaseView, lease_id};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// How a lease stands: one of your own, or, for who may see people, anybody's.
#[utoipa::path(
    get,
    path = "/leases/{lease}",
    tag = "leases",
    params(("lease" = String, Path, description = "`lea_…`")),
    responses(
        (status = 200, description = "How it stands; no credentials.", body = LeaseView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(lease): Path<String>,
) -> Result<Json<LeaseView>, Problem> {
    let id = lease_id(&lease)?;
    let is_own = app.leases.holder(id).await? == caller.to_string();
    let (action, resource) =
        if is_own { (Action::SeeOwn, Resource::Own) } else { (Action::SeePeople, Resource::People) };
    let permit = app.gate.authorize(&caller, action, resource).await?;
    Ok(Json(LeaseView::from(&app.leases.show(&permit, id).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}
