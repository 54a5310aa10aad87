//! `POST …/secrets/{name}/delete` and `…/undelete`, below
//! `/api/v1/applications/{application}/environments/{environment}`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::SecretPath;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result},
    identity::Caller,
    secrets::Removal,
};

/// Which version.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichBody {
    /// Its number; the newest where nothing is said.
    #[serde(default)]
    version: Option<i64>,
}

/// Does it for `caller`.
pub(super) async fn remove(
    app: &App,
    caller: &Caller,
    path: &SecretPath,
    removal: Removal,
    body: &WhichBody,
) -> Result<StatusCode> {
    let resource = path.resource(app).await?;
    let act = |permit| app.secrets.remove(permit, removal, body.version);
    app.gate.act(caller, removal.action(), resource, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hide a version; it can be had back.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/delete",
    tag = "secrets",
    params(SecretPath),
    request_body = WhichBody,
    responses(
        (status = 204, description = "Deleted."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is deleted or destroyed; `managed-by-files`"),
    )
)]
async fn delete(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(path): Path<SecretPath>,
    Json(body): Json<WhichBody>,
) -> Result<StatusCode, Problem> {
    remove(&app, &caller, &path, Removal::Delete, &body).await
}

/// Have a deleted version back.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/undelete",
    tag = "secrets",
    params(SecretPath),
    request_body = WhichBody,
    responses(
        (status = 204, description = "It is back."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is not deleted; `managed-by-files`"),
    )
)]
async fn undelete(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(path): Path<SecretPath>,
    Json(body): Json<WhichBody>,
) -> Result<StatusCode, Problem> {
    remove(&app, &caller, &path, Removal::Undelete, &body).await
}

/// Both endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(delete)).routes(routes!(undelete))
}
