//! `POST /api/v1/applications/{application}/environments/{environment}/run`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{EnvironmentPath, ValueView};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::Action,
};

/// What a program is started with.
#[derive(Serialize, ToSchema)]
pub struct Values {
    /// By name.
    values: Vec<ValueView>,
}

/// All current values of an environment, to start a program with. It is recorded that you know them
/// before they leave.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/run",
    tag = "secrets",
    params(EnvironmentPath),
    responses(
        (status = 200, description = "The values; never kept by anybody.", body = Values),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`: no value has left."),
    )
)]
async fn run(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<EnvironmentPath>,
) -> Result<Json<Values>, Problem> {
    let resource = path.resource(&app).await?;
    let told = app.gate.act(&caller, Action::Run, resource, |permit| app.secrets.run_values(permit)).await?;
    Ok(Json(Values { values: told.into_iter().map(ValueView::from).collect() }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(run))
}
