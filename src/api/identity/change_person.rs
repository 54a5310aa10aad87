//! `POST /api/v1/people/{person}/deactivate`, `suspend`, `resume`, `reactivate` and `sign-out`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::address;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, ids::PersonId},
    identity::{Caller, StatusChange},
    policy::{Action, PersonStatus, Resource},
};

/// Why.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// In the words of whoever does it; at most 4 KiB, kept in the log.
    pub reason: String,
}

/// What became of the person.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ChangedView {
    /// Who.
    #[schema(value_type = String)]
    pub person: PersonId,
    /// What she is now.
    #[schema(value_type = String)]
    pub status: PersonStatus,
    /// How many of her sessions ended.
    pub sessions_ended: u64,
}

async fn change(
    app: &App,
    caller: &Caller,
    person: &str,
    change: StatusChange,
    reason: &str,
) -> Result<Json<ChangedView>, Problem> {
    let whom = &address(person)?;
    let changed = app
        .gate
        .act(caller, Action::ManagePeople, Resource::People, |permit| {
            app.identity.change_status(permit, whom, change, reason)
        })
        .await?;
    Ok(Json(ChangedView {
        person: changed.person,
        status: changed.status,
        sessions_ended: changed.sessions_ended,
    }))
}

/// Take everything from a person. From this commit on nothing that she held works.
#[utoipa::path(
    post,
    path = "/people/{person}/deactivate",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "She is deactivated.", body = ChangedView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`; `conflict`: not in a state for this, or the last administrator"),
    )
)]
async fn deactivate(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ChangedView>, Problem> {
    change(&app, &caller, &person, StatusChange::Deactivate, &body.reason).await
}

/// Make nothing work for a person, and take nothing away.
#[utoipa::path(
    post,
    path = "/people/{person}/suspend",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "She is suspended.", body = ChangedView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`; `conflict`: not in a state for this, or the last administrator"),
    )
)]
async fn suspend(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ChangedView>, Problem> {
    change(&app, &caller, &person, StatusChange::Suspend, &body.reason).await
}

/// Undo a suspension.
#[utoipa::path(
    post,
    path = "/people/{person}/resume",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "She is active.", body = ChangedView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`; `conflict`: not in a state for this, or the last administrator"),
    )
)]
async fn resume(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ChangedView>, Problem> {
    change(&app, &caller, &person, StatusChange::Resume, &body.reason).await
}

/// Bring back somebody who was deactivated: the person, and nothing that she held.
#[utoipa::path(
    post,
    path = "/people/{person}/reactivate",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "She is active.", body = ChangedView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`; `conflict`: not deactivated, or what she held is still being taken away"),
    )
)]
async fn reactivate(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ChangedView>, Problem> {
    change(&app, &caller, &person, StatusChange::Reactivate, &body.reason).await
}

/// End all sessions of a person.
#[utoipa::path(
    post,
    path = "/people/{person}/sign-out",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "Her sessions have ended.", body = ChangedView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`; `conflict`: not in a state for this, or the last administrator"),
    )
)]
async fn sign_out(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<ChangedView>, Problem> {
    change(&app, &caller, &person, StatusChange::SignOut, &body.reason).await
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(deactivate))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(reactivate))
        .routes(routes!(sign_out))
}
