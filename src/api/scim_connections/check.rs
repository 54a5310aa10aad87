//! `GET /api/v1/scim-connections/{connection}/check`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::name;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Whether a connection's people are those who sign in.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CheckedView {
    /// People who are linked with an account.
    pub linked: i64,
    /// Of them, those by whose account somebody has signed in.
    pub signed_in: i64,
    /// People whose attribute that links is missing.
    pub unlinked: i64,
    /// Values of the external id that several people have.
    pub ambiguous: i64,
    /// Accounts of the provider whom the connection does not have.
    pub strangers: i64,
    /// What is wrong, each with what to do.
    pub findings: Vec<String>,
}

/// Try the linking of a connection.
#[utoipa::path(
    get,
    path = "/scim-connections/{connection}/check",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "What was found.", body = CheckedView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn check_connection(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<CheckedView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManageConnections, Resource::Connections).await?;
    let it = app.scim.check_connection(&permit, &name(&connection)?).await?;
    Ok(Json(CheckedView {
        linked: it.linked,
        signed_in: it.signed_in,
        unlinked: it.unlinked,
        ambiguous: it.ambiguous,
        strangers: it.strangers,
        findings: it.findings,
    }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(check_connection))
}
