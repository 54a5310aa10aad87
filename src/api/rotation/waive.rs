//! `POST /api/v1/rotation/{task}/waive`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, task_id};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, Timestamp},
    policy::Action,
};

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Waive {
    /// Why it may wait: 1 to 4096 bytes.
    pub reason: String,
    /// Until when (RFC 3339); a year at most.
    pub until: String,
}

/// Ask that a rotation task may wait. It has no effect until somebody else confirms it.
///
/// It ends by itself at its time, and as soon as another leaver turns out to know the value.
#[utoipa::path(
    post,
    path = "/rotation/{task}/waive",
    tag = "leavers",
    params(("task" = String, Path, description = "`rot_…`")),
    request_body = Waive,
    responses(
        (status = 200, description = "Asked for.", body = TaskView),
        (status = 400, description = "`invalid-request`: no reason, or an end that is past or too far away."),
        (status = 403, description = "`denied`; also where the task is about you."),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is closed, or that is asked for already."),
    )
)]
async fn waive(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Json(body): Json<Waive>,
) -> Result<Json<TaskView>, Problem> {
    let until: Timestamp = body.until.parse().map_err(Problem::invalid)?;
    let resource = app.rotation.waiver(task_id(&id)?, false).await?;
    let act = |permit| app.rotation.waive(permit, &body.reason, until);
    let task = app.gate.act(&caller, Action::WaiveRotation, resource, act).await?;
    Ok(Json(TaskView::from(&task)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(waive))
}
