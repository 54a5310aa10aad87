//! `GET /api/v1/rotation`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, hers};
use crate::{
    api::{AnyAuth, App, Json},
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
    /// Whether only those are meant that are about secrets of your own teams: these you may always see.
    #[serde(default)]
    mine: bool,
}

/// Rotation tasks: those that have to be done first, then the newest.
#[derive(Serialize, ToSchema)]
pub struct Tasks {
    /// They.
    items: Vec<TaskView>,
    /// Always null: 500 at most are listed.
    next: Option<String>,
}

/// Secrets that have to be changed because somebody who left knows their values, or because these are
/// too old.
#[utoipa::path(
    get,
    path = "/rotation",
    tag = "leavers",
    params(Which),
    responses(
        (status = 200, description = "Those that have to be done first.", body = Tasks),
        (status = 403, description = "`denied`"),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Query(which): Query<Which>,
) -> Result<Json<Tasks>, Problem> {
    let state = which.state.map(|state| match state {
        TaskState::Open => "open",
        TaskState::Closed => "closed",
    });
    let tasks = if which.mine {
        let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
        hers(&app, &caller, app.rotation.tasks(permit, state).await?).await?
    } else {
        let permit = app.gate.authorize(&caller, Action::SeeRotation, Resource::Rotation).await?;
        app.rotation.tasks(permit, state).await?
    };
    Ok(Json(Tasks { items: tasks.iter().map(TaskView::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
