//! `POST /api/v1/rotation/{task}/confirm`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, task_id};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, ids::WaiverId},
    policy::Action,
};

/// What is confirmed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The waiver that you have read, `wvr_…`.
    pub waiver: String,
}

/// Agree that a rotation task may wait. From here it holds nobody up, and is counted apart.
///
/// Not for whoever asked, and not for whom the task is about.
#[utoipa::path(
    post,
    path = "/rotation/{task}/confirm",
    tag = "leavers",
    params(("task" = String, Path, description = "`rot_…`")),
    request_body = Confirm,
    responses(
        (status = 200, description = "It may wait.", body = TaskView),
        (status = 403, description = "`denied`; also where you asked for it, or the task is about you."),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is confirmed already, or has ended."),
    )
)]
async fn confirm(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Json(body): Json<Confirm>,
) -> Result<Json<TaskView>, Problem> {
    let waiver: WaiverId = body.waiver.parse().map_err(Problem::invalid)?;
    let resource = app.rotation.waiver(task_id(&id)?, true).await?;
    let act = |permit| app.rotation.confirm(permit, waiver);
    let task = app.gate.act(&caller, Action::WaiveRotation, resource, act).await?;
    Ok(Json(TaskView::from(&task)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(confirm))
}
