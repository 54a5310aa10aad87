//! `GET /api/v1/rotation/{task}`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, hers, task_id};
use crate::{
    api::{AnyAuth, App, Json},
    base::{Problem, Result},
    identity::AnyCaller,
    policy::{Action, Resource},
    revocation::Task,
};

/// The task of an id, for somebody who may see it: it is about her team's secrets, or a trust scope says so.
///
/// # Errors
/// As the endpoint below.
pub async fn task(app: &App, caller: &AnyCaller, id: &str) -> Result<Task> {
    let own = app.gate.authorize(caller, Action::SeeOwn, Resource::Own).await?;
    if let Ok(id) = task_id(id)
        && let Ok(task) = app.rotation.task(own, id).await
        && let Some(task) = hers(app, caller, vec![task]).await?.pop()
    {
        return Ok(task);
    }
    // Whether there is one at all is not for everybody.
    let permit = app.gate.authorize(caller, Action::SeeRotation, Resource::Rotation).await?;
    app.rotation.task(permit, task_id(id)?).await
}

/// A rotation task: its secrets, what stands in the way, who makes new values and how.
#[utoipa::path(
    get,
    path = "/rotation/{task}",
    tag = "leavers",
    params(("task" = String, Path, description = "`rot_…`")),
    responses(
        (status = 200, description = "As it stands.", body = TaskView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(TaskView::from(&task(&app, &caller, &id).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}
