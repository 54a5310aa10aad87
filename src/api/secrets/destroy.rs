//! `POST /api/v1/applications/{application}/environments/{environment}/secrets/{name}/destroy`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    SecretPath,
    remove::{WhichBody, remove},
};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    secrets::Removal,
};

/// Destroy a version's value for good.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/destroy",
    tag = "secrets",
    params(SecretPath),
    request_body = WhichBody,
    responses(
        (status = 204, description = "Its value is gone."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is destroyed already; `managed-by-files`"),
    )
)]
async fn destroy(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(path): Path<SecretPath>,
    Json(body): Json<WhichBody>,
) -> Result<StatusCode, Problem> {
    remove(&app, &caller, &path, Removal::Destroy, &body).await
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(destroy))
}
