//! `POST /api/v1/applications/{application}/environments/{environment}/secrets/{name}/versions`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{MadeView, SecretPath, ValueBody};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::Action,
};

/// Make a new version with this value. It is recorded that you know it.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/versions",
    tag = "secrets",
    params(SecretPath),
    request_body = ValueBody,
    responses(
        (status = 201, description = "Made.", body = MadeView),
        (status = 413, description = "`too-large`"),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`managed-by-files`: it lives elsewhere and may not be changed from here."),
        (status = 412, description = "`precondition-failed`: the newest version is another."),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`"),
    )
)]
async fn set(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<SecretPath>,
    Json(body): Json<ValueBody>,
) -> Result<(StatusCode, Json<MadeView>), Problem> {
    let value = body.read()?;
    let resource = path.resource(&app).await?;
    let act = |permit| app.secrets.set(permit, value.clone(), body.expect_version);
    let made = app.gate.act(&caller, Action::Set, resource, act).await?;
    Ok((StatusCode::CREATED, Json(MadeView::of(&path.name, &made))))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(set))
}
