//! `GET /api/v1/rotation`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::TaskView;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Which tasks.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Those with something left to do.
    Open,
    /// Those that are done.
    Closed,
}

/// Which tasks.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// `open` or `closed`; all where it is left out.
    #[serde(default)]
    #[param(inline)]
    state: Option<TaskState>,
}

/// Rotation tasks, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Tasks {
    /// They.
    items: Vec<TaskView>,
    /// Always null: 500 at most are listed.
    next: Option<String>,
}

/// Secrets that have to be changed because somebody who left knows their values.
#[utoipa::path(
    get,
    path = "/rotation",
    tag = "leavers",
    params(Which),
    responses(
        (status = 200, description = "The newest first.", body = Tasks),
        (status = 403, description = "`denied`"),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(which): Query<Which>,
) -> Result<Json<Tasks>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeeRotation, Resource::Rotation).await?;
    let state = which.state.map(|state| match state {
        TaskState::Open => "open",
        TaskState::Closed => "closed",
    });
    let tasks = app.revocation.tasks(permit, state).await?;
    Ok(Json(Tasks { items: tasks.iter().map(TaskView::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
