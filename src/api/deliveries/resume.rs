//! `POST /api/v1/deliveries/{name}/resume`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::named;
use crate::{
    api::{App, Auth},
    base::Problem,
    policy::Action,
};

/// Take a delivery up again at once.
#[utoipa::path(
    post,
    path = "/deliveries/{name}/resume",
    tag = "deliveries",
    params(("name" = String, Path, description = "What files call it.")),
    responses(
        (status = 204, description = "It is delivered again."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is not paused."),
    )
)]
async fn resume(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let (name, resource) = named(&app, &name).await?;
    app.gate.act(&caller, Action::PauseDelivery, resource, |permit| app.broker.resume(permit, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(resume))
}
