//! `POST /api/v1/leases/{lease}/renew`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LeaseView, lease_id, role};
use crate::{
    api::{AnyAuth, App, Json},
    base::{Problem, Result, time::parse_duration},
    policy::{Action, Resource},
};

/// For how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// From now on, such as `1h`.
    #[serde(rename = "for")]
    length: String,
}

/// Have a lease of yours last longer: within what allowed it, and only while it is allowed still.
#[utoipa::path(
    post,
    path = "/leases/{lease}/renew",
    tag = "leases",
    params(("lease" = String, Path, description = "`lea_…`")),
    request_body = Renewal,
    responses(
        (status = 200, description = "`ends_at` says until when.", body = LeaseView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is over, or cannot be renewed any more."),
        (status = 502, description = "`engine-fault`: it ends as before."),
        (status = 503, description = "`engine-unavailable`: it ends as before."),
    )
)]
async fn renew(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(lease): Path<String>,
    Json(body): Json<Renewal>,
) -> Result<Json<LeaseView>, Problem> {
    let id = lease_id(&lease)?;
    let length = parse_duration(&body.length).map_err(Problem::invalid)?;
    let own = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let resource = role(&app, &app.leases.show(&own, id).await?.at).await?;
    let act = |permit| app.leases.renew(permit, id, length);
    Ok(Json(LeaseView::from(&app.gate.act(&caller, Action::Lease, resource, act).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(renew))
}
