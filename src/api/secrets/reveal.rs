//! `GET /api/v1/applications/{application}/environments/{environment}/secrets/{name}/value`

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{SecretPath, ValueView};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::Action,
};

/// Which version.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Its number; the current one where nothing is said.
    version: Option<i64>,
}

/// Reveal a value. It is recorded that you know it before it leaves.
#[utoipa::path(
    get,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/value",
    tag = "secrets",
    params(SecretPath, Which),
    responses(
        (status = 200, description = "The value; never kept by anybody.", body = ValueView),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`: no value has left."),
    )
)]
async fn reveal(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<SecretPath>,
    Query(which): Query<Which>,
) -> Result<Json<ValueView>, Problem> {
    let resource = path.resource(&app).await?;
    let act = |permit| app.secrets.reveal(permit, which.version);
    Ok(Json(app.gate.act(&caller, Action::Reveal, resource, act).await?.into()))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(reveal))
}
