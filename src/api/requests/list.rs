//! `GET /api/v1/requests`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::RequestView;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Which side of a request the caller is on.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Those that you made.
    #[default]
    Mine,
    /// Those that wait for somebody like you.
    ToDecide,
}

/// Which requests.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Only those in this state: `pending`, `approved`, `denied`, `cancelled`, `expired`, `withdrawn`.
    #[serde(default)]
    state: Option<String>,
    /// Yours, or those to decide.
    #[serde(default)]
    #[param(inline)]
    role: Role,
}

/// Requests, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Requests {
    /// They.
    items: Vec<RequestView>,
    /// Always null: 500 at most are listed.
    next: Option<String>,
}

/// Requests that you made, or that wait for you to decide.
#[utoipa::path(
    get,
    path = "/requests",
    tag = "requests",
    params(Which),
    responses((status = 200, description = "The newest first.", body = Requests))
)]
async fn list(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(which): Query<Which>,
) -> Result<Json<Requests>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let mut found = match which.role {
        Role::Mine => app.requests.mine(permit, which.state.as_deref()).await?,
        Role::ToDecide => app.requests.to_decide(permit).await?,
    };
    found.retain(|request| which.state.as_deref().is_none_or(|state| request.state.as_str() == state));
    let mut items = Vec::with_capacity(found.len());
    for request in &found {
        items.push(RequestView::of(&app, request).await?);
    }
    Ok(Json(Requests { items, next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
