//! `POST /api/v1/requests/{id}/approve`, `…/deny`, `…/cancel`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{RequestView, request_id};
use crate::{
    access::{Request, Verdict},
    api::{App, Auth, Json},
    base::{Problem, Result},
    identity::Caller,
    policy::Action,
};

/// What is said to a request.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Why; at most 4096 bytes.
    #[serde(default)]
    pub reason: String,
}

/// Says yes or no for `caller`.
///
/// # Errors
/// As the endpoints below.
pub async fn decide(app: &App, caller: &Caller, id: &str, verdict: Verdict, reason: &str) -> Result<Request> {
    let resource = app.requests.resource(request_id(id)?).await?;
    let act = |permit| app.requests.decide(permit, verdict, reason);
    let (request, _) = app.gate.act(caller, Action::Decide, resource, act).await?;
    Ok(request)
}

/// Takes a request of `caller` back.
///
/// # Errors
/// As the endpoint below.
pub async fn take_back(app: &App, caller: &Caller, id: &str) -> Result<Request> {
    let resource = app.requests.resource(request_id(id)?).await?;
    app.gate.act(caller, Action::CancelRequest, resource, |permit| app.requests.cancel(permit)).await
}

/// Approve a request. One approval is enough, never the requester's own; the grant begins now.
#[utoipa::path(
    post,
    path = "/requests/{id}/approve",
    tag = "requests",
    params(("id" = String, Path, description = "`req_…`")),
    request_body = Said,
    responses(
        (status = 200, description = "Approved, with its grant.", body = RequestView),
        (status = 403, description = "`denied`: it is your own, you are no approver, or she may no longer have it."),
        (status = 409, description = "`conflict`: it is decided or expired."),
    )
)]
async fn approve(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Json(said): Json<Said>,
) -> Result<Json<RequestView>, Problem> {
    let request = decide(&app, &caller, &id, Verdict::Approve, &said.reason).await?;
    Ok(Json(RequestView::of(&app, &request).await?))
}

/// Deny a request.
#[utoipa::path(
    post,
    path = "/requests/{id}/deny",
    tag = "requests",
    params(("id" = String, Path, description = "`req_…`")),
    request_body = Said,
    responses(
        (status = 200, description = "Denied.", body = RequestView),
        (status = 403, description = "`denied`: it is your own, or you are no approver."),
        (status = 409, description = "`conflict`: it is decided or expired."),
    )
)]
async fn deny(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Json(said): Json<Said>,
) -> Result<Json<RequestView>, Problem> {
    let request = decide(&app, &caller, &id, Verdict::Deny, &said.reason).await?;
    Ok(Json(RequestView::of(&app, &request).await?))
}

/// Take your own request back.
#[utoipa::path(
    post,
    path = "/requests/{id}/cancel",
    tag = "requests",
    params(("id" = String, Path, description = "`req_…`")),
    responses(
        (status = 200, description = "Taken back.", body = RequestView),
        (status = 403, description = "`denied`: it is not yours."),
        (status = 409, description = "`conflict`: it is decided already."),
    )
)]
async fn cancel(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let request = take_back(&app, &caller, &id).await?;
    Ok(Json(RequestView::of(&app, &request).await?))
}

/// These endpoints.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(approve)).routes(routes!(deny)).routes(routes!(cancel))
}
