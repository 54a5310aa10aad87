//! `GET /api/v1/leavers`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::LeaverLine;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Everyone who has left.
#[derive(Serialize, ToSchema)]
pub struct Leavers {
    /// Those with something left first, those who came back last.
    items: Vec<LeaverLine>,
    /// Always null: 500 at most are listed, and 500 of those who came back.
    next: Option<String>,
}

/// Everyone who has left, and how much is left of each.
#[utoipa::path(
    get,
    path = "/leavers",
    tag = "leavers",
    responses(
        (status = 200, description = "Those with something left first, those who came back last.", body = Leavers),
        (status = 403, description = "`denied`"),
    )
)]
async fn list(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Json<Leavers>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let leavers = app.revocation.leavers(permit).await?;
    Ok(Json(Leavers { items: leavers.iter().map(LeaverLine::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
