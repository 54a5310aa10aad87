//! `POST /api/v1/rotation/{task}/done`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TaskView, environment_of, show::task};
use crate::{
    api::{AnyAuth, App, Json},
    base::{Problem, Result},
    identity::AnyCaller,
    policy::{Action, Resource},
    revocation::{Obstacle, Task},
};

/// What is said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// What makes you sure that the old value is worth nothing any more: 1 to 4096 bytes.
    pub reason: String,
}

/// The secrets of a task that have a new value: of the others it is plain that nothing is done.
async fn changed(app: &App, task: &Task) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    for place in task.places.iter().filter(|place| !place.waits_for.contains(&Obstacle::Current)) {
        if let Some(at) = environment_of(app, &place.secret).await? {
            found.push(Resource::Secret(at, place.secret.name.clone()));
        }
    }
    Ok(found)
}

/// Says for every secret that `caller` may set that it is done; refused where she may set none.
async fn say(app: &App, caller: &AnyCaller, task: &Task, reason: &str) -> Result<()> {
    let changed = changed(app, task).await?;
    let Some(first) = changed.first().cloned() else { return Ok(()) };
    let allowed = app.gate.allowed(caller, Action::Set, changed, |it| Ok(it.clone())).await?;
    let to_say = if allowed.is_empty() { vec![first] } else { allowed };
    for secret in to_say {
        let act = |permit| app.rotation.say_done(permit, task.id, reason);
        app.gate.act(caller, Action::Set, secret, act).await?;
    }
    Ok(())
}

/// Say that a rotation is done. It is looked again at once, and the answer says what still stands in the
/// way.
///
/// Facts decide: where the current value is still one that should go, nothing is noted. Where it is another
/// one, it is noted that you say that the old one is worth nothing at its target any more, which cannot be
/// seen from here. It takes the right to set the secret.
#[utoipa::path(
    post,
    path = "/rotation/{task}/done",
    tag = "leavers",
    params(("task" = String, Path, description = "`rot_…`")),
    request_body = Done,
    responses(
        (status = 200, description = "As it stands now: closed, or what it waits for.", body = TaskView),
        (status = 400, description = "`invalid-request`: no reason."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it changed meanwhile."),
    )
)]
async fn done(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(id): Path<String>,
    Json(body): Json<Done>,
) -> Result<Json<TaskView>, Problem> {
    let found = task(&app, &caller, &id).await?;
    if found.closed_at.is_none() {
        say(&app, &caller, &found, &body.reason).await?;
        app.rotation.look_again().await?;
    }
    Ok(Json(TaskView::from(&task(&app, &caller, &id).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(done))
}
