//! `POST /api/v1/scim-connections/{connection}/disable`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::name;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Why.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableRequest {
    /// In the words of whoever does it; at most 4 KiB, kept in the log.
    pub reason: String,
}

/// Take a connection out of use, for good. Its people stay as they are.
#[utoipa::path(
    post,
    path = "/scim-connections/{connection}/disable",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    request_body = DisableRequest,
    responses(
        (status = 204, description = "It is disabled."),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it was before"),
    )
)]
async fn disable(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
    Json(body): Json<DisableRequest>,
) -> Result<StatusCode, Problem> {
    let name = name(&connection)?;
    app.gate
        .act(&caller, Action::ManageConnections, Resource::Connections, |permit| {
            app.scim.disable_connection(permit, &name, &body.reason)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(disable))
}
