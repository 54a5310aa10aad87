//! `POST /api/v1/recovery`

use std::sync::Arc;

use axum::{extract::State, http::header, response::IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{TokenView, address};
use crate::{
    api::{App, Json, Network},
    base::{Problem, SecretValue},
};

/// What `port-control recover-access` printed, and for whom.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryRequest {
    /// The single-use token.
    pub token: String,
    /// Whose session it becomes, by id or e-mail address; a new person's where nothing is said.
    #[serde(default)]
    pub person: Option<String>,
}

/// Come back in when the identity provider is down.
#[utoipa::path(
    post,
    path = "/recovery",
    tag = "identity",
    request_body = RecoveryRequest,
    responses(
        (status = 200, description = "Signed in for an hour, with the powers of administrators.", body = TokenView),
        (status = 403, description = "`sign-in-refused`, `person-suspended`, `person-deactivated`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`"),
        (status = 429, description = "`rate-limited`"),
    ),
    security(())
)]
async fn recover(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Json(body): Json<RecoveryRequest>,
) -> Result<impl IntoResponse, Problem> {
    let whom = body.person.as_deref().map(address).transpose()?;
    let session = app.identity.recover(&SecretValue::from(body.token), whom, network).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(TokenView::from(session))))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(recover))
}
