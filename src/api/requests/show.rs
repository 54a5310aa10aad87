//! `GET /api/v1/requests/{id}`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{RequestView, request_id};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::Action,
};

/// One request, for its requester and its approvers.
#[utoipa::path(
    get,
    path = "/requests/{id}",
    tag = "requests",
    params(("id" = String, Path, description = "`req_…`")),
    responses(
        (status = 200, description = "As it stands.", body = RequestView),
        (status = 403, description = "`denied`: it is neither yours nor yours to decide."),
        (status = 404, description = "`not-found`"),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let resource = app.requests.resource(request_id(&id)?).await?;
    let permit = app.gate.authorize(&caller, Action::SeeRequest, resource).await?;
    let request = app.requests.show(permit).await?;
    Ok(Json(RequestView::of(&app, &request).await?))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}
