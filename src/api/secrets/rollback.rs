//! `POST /api/v1/applications/{application}/environments/{environment}/secrets/{name}/rollback`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KnownView, MadeView, SecretPath};
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

/// Make a new version with the value of an earlier one. Where somebody who has left knows that value, a rotation
/// task is open for it, and the answer names it.
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
    let known_to_leavers = known(&app, &path).await;
    Ok((StatusCode::CREATED, Json(MadeView { known_to_leavers, ..MadeView::of(&path.name, &made) })))
}

/// The version is made, whether this can be found out or not: revocation looks by itself, too.
async fn known(app: &App, path: &SecretPath) -> Option<KnownView> {
    let at = format!("{}/{}/{}", path.application, path.environment, path.name).parse().ok()?;
    match app.revocation.known_value(&at).await {
        Ok(known) => known.map(|it| KnownView { leavers: it.leavers, task: it.task.to_string() }),
        Err(problem) => {
            tracing::warn!(%problem, secret = %at, "whether a leaver knows a value that came back is not known yet");
            None
        }
    }
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(rollback))
}
