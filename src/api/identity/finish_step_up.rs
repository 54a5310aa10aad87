//! `POST /api/v1/step-ups/{login}/confirm`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ExchangeRequest;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, SecretValue},
};

/// Raise the command line's own session to what its person has just confirmed in her browser.
#[utoipa::path(
    post,
    path = "/step-ups/{login}/confirm",
    tag = "identity",
    params(("login" = String, Path, description = "The wish.")),
    request_body = ExchangeRequest,
    responses(
        (status = 204, description = "The session is raised."),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`sign-in-refused`"),
        (status = 404, description = "`not-found`: nothing of this session waits"),
        (status = 429, description = "`rate-limited`"),
    )
)]
async fn finish_step_up(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(login): Path<String>,
    Json(body): Json<ExchangeRequest>,
) -> Result<StatusCode, Problem> {
    let login = login.parse().map_err(Problem::invalid)?;
    let verifier = SecretValue::from(body.verifier);
    app.identity.finish_step_up(&caller, login, &body.code, &verifier).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(finish_step_up))
}
