//! `GET /api/v1/grants`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json, requests::GrantView},
    base::Problem,
    policy::{Action, Resource},
};

/// Live grants, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Grants {
    /// They.
    items: Vec<GrantView>,
    /// Always null: all are listed.
    next: Option<String>,
}

/// Your live grants.
#[utoipa::path(
    get,
    path = "/grants",
    tag = "requests",
    responses((status = 200, description = "The newest first.", body = Grants))
)]
async fn list(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Json<Grants>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let grants = app.requests.grants(permit).await?;
    Ok(Json(Grants { items: grants.iter().map(GrantView::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
