//! `POST /api/v1/removals/expected/{announcement}/withdraw`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json, identity::change_person::ReasonRequest},
    base::{Problem, ids::ExpectationId},
    policy::{Action, Resource},
};

/// Take an announcement back: what has not passed by now is held like anything else.
#[utoipa::path(
    post,
    path = "/removals/expected/{announcement}/withdraw",
    tag = "leavers",
    params(("announcement" = String, Path, description = "`xpt_…`")),
    request_body = ReasonRequest,
    responses(
        (status = 204, description = "It counts no more."),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it counted no more before"),
    )
)]
async fn withdraw_expected(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(announcement): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<StatusCode, Problem> {
    let id: ExpectationId = announcement.parse().map_err(Problem::invalid)?;
    app.gate
        .act(&caller, Action::ManagePeople, Resource::People, |permit| {
            app.identity.withdraw_expected(permit, id, &body.reason)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(withdraw_expected))
}
