//! `GET /api/v1/scim-connections`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ConnectionView, create::__path_create, create::create};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// All of them.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionsView {
    /// By name.
    pub items: Vec<ConnectionView>,
}

/// Connections by which identity providers say who works here.
#[utoipa::path(
    get,
    path = "/scim-connections",
    tag = "scim",
    responses(
        (status = 200, description = "All of them.", body = ConnectionsView),
        (status = 403, description = "`denied`"),
    )
)]
async fn list(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Json<ConnectionsView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManageConnections, Resource::Connections).await?;
    let connections = app.scim.connections(&permit).await?;
    let items = connections.iter().map(|it| ConnectionView::of(&app, it)).collect();
    Ok(Json(ConnectionsView { items }))
}

/// This endpoint, and the one that makes one.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create))
}
