//! `POST /api/v1/scim-connections/{connection}/rotate` and `retire`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ConnectionTokenView, name};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// How many tokens ended.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RetiredView {
    /// So many.
    pub ended: u64,
}

/// Make another token. The one before it goes on until it is retired, or until the next is made.
#[utoipa::path(
    post,
    path = "/scim-connections/{connection}/rotate",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "The token is shown this once.", body = ConnectionTokenView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is disabled"),
    )
)]
async fn rotate(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<ConnectionTokenView>, Problem> {
    let name = name(&connection)?;
    let token = app
        .gate
        .act(&caller, Action::ManageConnections, Resource::Connections, |permit| {
            app.scim.rotate_token(permit, &name)
        })
        .await?;
    Ok(Json(ConnectionTokenView::of(&app, &name, &token)?))
}

/// End all tokens but the newest.
#[utoipa::path(
    post,
    path = "/scim-connections/{connection}/retire",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "They have ended.", body = RetiredView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it has one token, or is disabled"),
    )
)]
async fn retire(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<RetiredView>, Problem> {
    let name = name(&connection)?;
    let ended = app
        .gate
        .act(&caller, Action::ManageConnections, Resource::Connections, |permit| {
            app.scim.retire_tokens(permit, &name)
        })
        .await?;
    Ok(Json(RetiredView { ended }))
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(rotate)).routes(routes!(retire))
}
