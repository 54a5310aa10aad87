//! `POST /api/v1/applications/{application}/environments/{environment}/secrets/{name}/rollback`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{MadeView, SecretPath};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::Action,
};

/// Which version is to be had again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Its number.
    to: i64,
    /// The number that the newest version has to have still; 0 where there must be none.
    #[serde(default)]
    expect_version: Option<i64>,
}

/// Make a new version with the value of an earlier one.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/rollback",
    tag = "secrets",
    params(SecretPath),
    request_body = Rollback,
    responses(
        (status = 201, description = "Made.", body = MadeView),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`managed-by-files`: it lives elsewhere and may not be changed from here."),
        (status = 412, description = "`precondition-failed`: the newest version is another."),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`"),
    )
)]
async fn rollback(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<SecretPath>,
    Json(body): Json<Rollback>,
) -> Result<(StatusCode, Json<MadeView>), Problem> {
    let resource = path.resource(&app).await?;
    let act = |permit| app.secrets.rollback(permit, body.to, body.expect_version);
    let made = app.gate.act(&caller, Action::Set, resource, act).await?;
    Ok((StatusCode::CREATED, Json(MadeView::of(&path.name, &made))))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(rollback))
}
