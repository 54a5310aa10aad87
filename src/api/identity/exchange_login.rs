//! `POST /api/v1/logins/{login}/token`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::header,
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::TokenView;
use crate::{
    api::{App, Json, Network},
    base::{Problem, SecretValue},
};

/// What the browser brought to the loopback port, and what only the command line knows.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRequest {
    /// The one-time code.
    pub code: String,
    /// The PKCE verifier of the challenge that the login began with.
    pub verifier: String,
}

/// Exchange the one-time code for a token.
#[utoipa::path(
    post,
    path = "/logins/{login}/token",
    tag = "identity",
    params(("login" = String, Path, description = "The login.")),
    request_body = ExchangeRequest,
    responses(
        (status = 200, description = "Signed in; the token is shown this once.", body = TokenView),
        (status = 403, description = "`sign-in-refused`, `person-suspended`, `person-deactivated`"),
        (status = 404, description = "`not-found`: it does not wait any more"),
        (status = 429, description = "`rate-limited`"),
    ),
    security(())
)]
async fn exchange_login(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Path(login): Path<String>,
    Json(body): Json<ExchangeRequest>,
) -> Result<impl IntoResponse, Problem> {
    let login = login.parse().map_err(Problem::invalid)?;
    let verifier = SecretValue::from(body.verifier);
    let session = app.identity.exchange_login(login, &body.code, &verifier, network).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(TokenView::from(session))))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(exchange_login))
}
