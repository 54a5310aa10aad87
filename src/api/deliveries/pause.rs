//! `POST /api/v1/deliveries/{name}/pause`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::named;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, time::parse_duration},
    policy::Action,
};

/// For how long, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// For how long, such as `1h`; a week at most.
    #[serde(rename = "for")]
    length: String,
    /// Why: 1 to 4096 bytes.
    reason: String,
}

/// A pause.
#[derive(Serialize, ToSchema)]
pub struct Paused {
    /// Until when it lasts.
    paused_until: String,
}

/// Leave a delivery alone for a while: what somebody does to its Secret by hand stays until then.
#[utoipa::path(
    post,
    path = "/deliveries/{name}/pause",
    tag = "deliveries",
    params(("name" = String, Path, description = "What files call it.")),
    request_body = Pause,
    responses(
        (status = 200, description = "Until when.", body = Paused),
        (status = 400, description = "`invalid-request`: no reason, or a time that is too long."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn pause(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(name): Path<String>,
    Json(body): Json<Pause>,
) -> Result<Json<Paused>, Problem> {
    let length = parse_duration(&body.length).map_err(Problem::invalid)?;
    let (name, resource) = named(&app, &name).await?;
    let act = |permit| app.broker.pause(permit, &name, length, &body.reason);
    let until = app.gate.act(&caller, Action::PauseDelivery, resource, act).await?;
    Ok(Json(Paused { paused_until: until.to_string() }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(pause))
}
