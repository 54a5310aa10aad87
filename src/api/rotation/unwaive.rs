//! `POST /api/v1/rotation/{task}/unwaive`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, task_id};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result},
    policy::Action,
};

/// What is said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unwaive {
    /// Why it may wait no longer: 1 to 4096 bytes.
    pub reason: String,
}

/// Take back that a rotation task may wait, confirmed or not.
#[utoipa::path(
    post,
    path = "/rotation/{task}/unwaive",
    tag = "leavers",
    params(("task" = String, Path, description = "`rot_…`")),
    request_body = Unwaive,
    responses(
        (status = 200, description = "It has to be done again.", body = TaskView),
        (status = 400, description = "`invalid-request`: no reason."),
        (status = 403, description = "`denied`; also where the task is about you."),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: nobody has asked that it may wait."),
    )
)]
async fn unwaive(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Json(body): Json<Unwaive>,
) -> Result<Json<TaskView>, Problem> {
    let resource = app.rotation.waiver(task_id(&id)?, false).await?;
    let act = |permit| app.rotation.unwaive(permit, &body.reason);
    let task = app.gate.act(&caller, Action::WaiveRotation, resource, act).await?;
    Ok(Json(TaskView::from(&task)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(unwaive))
}
